//! An axis: one kind of decision, of which every policy in its table is a variant. And all of them in one list, for
//! help texts, listings and documentation.

use super::{Entry, Param, Registry, Table};
use std::collections::BTreeMap;

/// One kind of decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// What a policy of it is called in messages.
    pub name: &'static str,
    /// The flag that chooses a policy, without dashes in front.
    pub flag: &'static str,
    /// The same as a path of keys in a policy file, if it has one. The parameters of its policies lie beside the last key.
    pub key: Option<&'static str>,
    /// Flags without which nobody asks these policies.
    pub needs: &'static str,
    /// What is decided.
    pub summary: &'static str,
    /// The policy that the empty name stands for; empty where there is none.
    pub default: &'static str,
}

/// A policy without the function that makes it.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its rule.
    pub formula: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
}

impl<T> From<&Entry<T>> for Listed {
    fn from(entry: &Entry<T>) -> Self {
        let &Entry { name, summary, formula, params, .. } = entry;
        Self { name, summary, formula, params }
    }
}

fn listed<T: Copy>(table: &Table<T>) -> (Axis, Vec<Listed>) {
    (table.axis, table.entries().iter().map(Listed::from).collect())
}

impl Registry {
    /// Every axis with its policies, in the order in which a request meets them.
    pub fn axes(&self) -> Vec<(Axis, Vec<Listed>)> {
        let Self {
            admission,
            routing,
            scorers,
            schedulers,
            preemption,
            saturation,
            dispatch_orders,
            fairness,
            usage_limits,
            deciders,
            encode_deciders,
            autoscalers,
        } = self;
        vec![
            listed(admission),
            listed(saturation),
            listed(dispatch_orders),
            listed(fairness),
            listed(usage_limits),
            listed(routing),
            listed(scorers),
            listed(deciders),
            listed(encode_deciders),
            listed(autoscalers),
            listed(schedulers),
            listed(preemption),
        ]
    }

    /// Every parameter of every policy by name, with the policies that take it.
    pub fn params(&self) -> BTreeMap<&'static str, (&'static Param, Vec<&'static str>)> {
        let mut params = BTreeMap::new();
        for (_, policies) in self.axes() {
            for policy in policies {
                for param in policy.params {
                    params.entry(param.name).or_insert_with(|| (param, Vec::new())).1.push(policy.name);
                }
            }
        }
        params
    }
}
