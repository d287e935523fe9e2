//! The free list: blocks in the order in which they will be reused.

/// Position of an entry; [`NONE`] is no entry.
pub(super) type EntryId = u32;

/// No entry.
pub(super) const NONE: EntryId = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number of blocks without identity, the highest of its owner's chain taken first.
    Run { count: u32, owner: u32 },
    /// One block with an identity; its id is the entry's position.
    Block,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    previous: EntryId,
    next: EntryId,
    kind: Kind,
}

/// What [`FreeList::take`] took.
pub(super) enum Taken {
    /// So many blocks without identity. When they were the last of a run that somebody may look for: who, and which.
    Run { count: u32, owner: Option<(u32, EntryId)> },
    /// A block with an identity; its id is free for reuse.
    Block(u32),
}

/// A doubly linked list over an arena of entries.
#[derive(Debug)]
pub(super) struct FreeList {
    entries: Vec<Entry>,
    vacant: Vec<EntryId>,
    head: EntryId,
    tail: EntryId,
    len: u32,
}

impl FreeList {
    pub(super) fn new(count: u32) -> Self {
        let mut list = Self { entries: Vec::new(), vacant: Vec::new(), head: NONE, tail: NONE, len: 0 };
        if count > 0 {
            list.push_run(count, None);
        }
        list
    }

    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    fn allocate(&mut self, kind: Kind) -> EntryId {
        let entry = Entry { previous: NONE, next: NONE, kind };
        if let Some(id) = self.vacant.pop() {
            self.entries[id as usize] = entry;
            id
        } else {
            self.entries.push(entry);
            (self.entries.len() - 1) as EntryId
        }
    }

    /// An id for a block with an identity that is not in the list now.
    pub(super) fn new_block_id(&mut self) -> u32 {
        self.allocate(Kind::Block)
    }

    /// The block of this id lost its identity.
    pub(super) fn free_block_id(&mut self, id: u32) {
        self.vacant.push(id);
    }

    fn link_tail(&mut self, id: EntryId) {
        self.entries[id as usize].previous = self.tail;
        self.entries[id as usize].next = NONE;
        if self.tail == NONE {
            self.head = id;
        } else {
            self.entries[self.tail as usize].next = id;
        }
        self.tail = id;
    }

    fn unlink(&mut self, id: EntryId) {
        let Entry { previous, next, .. } = self.entries[id as usize];
        if previous == NONE {
            self.head = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next == NONE {
            self.tail = previous;
        } else {
            self.entries[next as usize].previous = previous;
        }
    }

    /// Adds blocks without identity at the tail. Runs that nobody looks for merge.
    pub(super) fn push_run(&mut self, count: u32, owner: Option<u32>) -> EntryId {
        self.len += count;
        if owner.is_none()
            && self.tail != NONE
            && let Kind::Run { count: tail_count, owner: NONE } = &mut self.entries[self.tail as usize].kind
        {
            *tail_count += count;
            return self.tail;
        }
        let id = self.allocate(Kind::Run { count, owner: owner.unwrap_or(NONE) });
        self.link_tail(id);
        id
    }

    /// Adds a block with an identity at the tail.
    pub(super) fn push_block(&mut self, id: u32) {
        self.len += 1;
        self.link_tail(id);
    }

    /// Takes a block with an identity out of the list, wherever it is.
    pub(super) fn unlink_block(&mut self, id: u32) {
        self.len -= 1;
        self.unlink(id);
    }

    /// Takes at most `count` blocks from the head.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Taken {
        let id = self.head;
        assert_ne!(id, NONE, "more blocks are taken than are free");
        match &mut self.entries[id as usize].kind {
            Kind::Run { count: available, owner } => {
                let taken = count.min(*available);
                *available -= taken;
                self.len -= taken;
                let (emptied, owner) = (*available == 0, *owner);
                if emptied {
                    self.unlink(id);
                    self.vacant.push(id);
                }
                Taken::Run { count: taken, owner: (emptied && owner != NONE).then_some((owner, id)) }
            }
            Kind::Block => {
                self.len -= 1;
                self.unlink(id);
                self.vacant.push(id);
                Taken::Block(id)
            }
        }
    }

    /// Blocks of the run at the head; 0 when a block with an identity is there.
    pub(super) fn run_at_head(&self) -> u32 {
        match self.entries.get(self.head as usize).map(|entry| entry.kind) {
            Some(Kind::Run { count, .. }) => count,
            Some(Kind::Block) | None => 0,
        }
    }

    /// Blocks left of a run; 0 for [`NONE`].
    pub(super) fn run_len(&self, id: EntryId) -> u32 {
        if id == NONE {
            return 0;
        }
        match self.entries[id as usize].kind {
            Kind::Run { count, .. } => count,
            Kind::Block => unreachable!("entry {id} is not a run"),
        }
    }

    /// Claims the first `count` blocks of a run's chain; what is left of it belongs to nobody.
    pub(super) fn claim_from_run(&mut self, id: EntryId, claimed: u32) {
        let Kind::Run { count, owner } = &mut self.entries[id as usize].kind else {
            unreachable!("entry {id} is not a run")
        };
        *owner = NONE;
        *count -= claimed;
        self.len -= claimed;
        if *count == 0 {
            self.unlink(id);
            self.vacant.push(id);
        }
    }

    /// Nobody looks for this run any more.
    pub(super) fn disown(&mut self, id: EntryId) {
        if id != NONE
            && let Kind::Run { owner, .. } = &mut self.entries[id as usize].kind
        {
            *owner = NONE;
        }
    }

    /// Counts the blocks one by one and checks the links.
    pub(super) fn audit(&self) -> u64 {
        let (mut id, mut previous, mut total) = (self.head, NONE, 0u64);
        while id != NONE {
            let entry = &self.entries[id as usize];
            assert_eq!(entry.previous, previous, "the free list's links disagree");
            total += match entry.kind {
                Kind::Run { count, .. } => u64::from(count),
                Kind::Block => 1,
            };
            (previous, id) = (id, entry.next);
        }
        assert_eq!(self.tail, previous, "the free list's tail is wrong");
        total
    }
}
