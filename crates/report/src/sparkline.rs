//! A curve in one line of text.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One column per value, from the lowest bar for little to the full one for the greatest; a blank for nothing.
pub(crate) fn sparkline(values: &[f64]) -> String {
    let greatest = values.iter().copied().fold(0.0, f64::max);
    let bar = |&value: &f64| {
        if value > 0.0 { BARS[((value / greatest * 8.0).ceil() as usize).clamp(1, 8) - 1] } else { ' ' }
    };
    values.iter().map(bar).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn bars_are_in_proportion() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0, 0.001, 0.0]), " ▁▄█▁");
        assert_eq!(sparkline(&[]), "");
    }
}
