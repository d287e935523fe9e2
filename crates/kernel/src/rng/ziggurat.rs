//! Normal and exponential draws: the ziggurat method of Marsaglia and Tsang (2000) with 128 and 256 strips.
//! Strip widths and densities are binary32, as are the sums in the wedge tests.

use super::GoRand;
use super::tables::{FE, FN, KE, KN, WE, WN};

/// Where the normal tail begins.
const NORMAL_TAIL: f64 = 3.442619855899;
/// Where the exponential tail begins.
const EXPONENTIAL_TAIL: f64 = 7.697_117_470_131_05;

impl GoRand {
    /// A draw from the standard normal distribution.
    pub fn norm_float64(&mut self) -> f64 {
        loop {
            let j = self.uint32() as i32;
            let strip = (j & 0x7f) as usize;
            let x = f64::from(j) * f64::from(WN[strip]);
            if j.unsigned_abs() < KN[strip] {
                return x;
            }
            if strip == 0 {
                let beyond = self.normal_tail();
                return if j > 0 { NORMAL_TAIL + beyond } else { -NORMAL_TAIL - beyond };
            }
            let height = FN[strip] + self.float64() as f32 * (FN[strip - 1] - FN[strip]);
            if height < libm::exp(-0.5 * x * x) as f32 {
                return x;
            }
        }
    }

    fn normal_tail(&mut self) -> f64 {
        loop {
            let x = -libm::log(self.float64()) * (1.0 / NORMAL_TAIL);
            let y = -libm::log(self.float64());
            if y + y >= x * x {
                return x;
            }
        }
    }

    /// A draw from the exponential distribution of mean 1.
    pub fn exp_float64(&mut self) -> f64 {
        loop {
            let j = self.uint32();
            let strip = (j & 0xff) as usize;
            let x = f64::from(j) * f64::from(WE[strip]);
            if j < KE[strip] {
                return x;
            }
            if strip == 0 {
                return EXPONENTIAL_TAIL - libm::log(self.float64());
            }
            let height = FE[strip] + self.float64() as f32 * (FE[strip - 1] - FE[strip]);
            if height < libm::exp(-x) as f32 {
                return x;
            }
        }
    }
}
