//! One clock for everything: arrivals, sendings, deadlines and what came back.

use blis_kernel::Tick;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock that also knows what the wall clock showed at its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    epoch_us: i64,
}

impl Clock {
    /// A clock whose time zero is now.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), epoch_us: since_epoch.as_micros() as i64 }
    }

    /// The instant of a time since the beginning.
    pub fn at(&self, time: Tick) -> Instant {
        self.origin + Duration::from_micros(u64::try_from(time.as_us()).unwrap_or_default())
    }

    /// The time since the beginning, zero before it.
    pub fn time(&self, instant: Instant) -> Tick {
        Tick::from_us(instant.saturating_duration_since(self.origin).as_micros() as i64)
    }

    /// The time since the Unix epoch, µs. Steps of the wall clock after the beginning do not show.
    pub fn epoch_us(&self, instant: Instant) -> i64 {
        self.epoch_us + self.time(instant).as_us()
    }

    /// The wall-clock time of the beginning, RFC 3339 in UTC.
    pub fn started(&self) -> String {
        rfc3339(self.epoch_us / 1_000_000)
    }
}

/// Seconds since the Unix epoch as a date and a time. Civil dates from days: years of 365.2425 days on average that begin
/// in March, so that the leap day is the last of its year.
fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    /// Law: the two ways of telling an instant differ by a constant.
    #[test]
    fn both_times_advance_together() {
        let clock = Clock::start();
        let (early, late) = (clock.at(Tick::from_us(5)), clock.at(Tick::from_us(7_005)));
        assert_eq!(clock.time(late).as_us() - clock.time(early).as_us(), 7_000);
        assert_eq!(clock.epoch_us(late) - clock.epoch_us(early), 7_000);
    }
}
