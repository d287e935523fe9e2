//! Distribution functions of reals, written without the samplers.

/// Of the exponential distribution of mean 1.
pub(crate) fn exponential(x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { -libm::expm1(-x) }
}

/// Of the standard normal distribution.
pub(crate) fn normal(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Of the Weibull distribution of scale 1.
pub(crate) fn weibull(shape: f64, x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { exponential(libm::pow(x, shape)) }
}

/// Of the gamma distribution of scale 1: the regularised lower incomplete gamma function, by its series below
/// shape + 1 and by Lentz's continued fraction above (Numerical Recipes, 6.2).
pub(crate) fn gamma(shape: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let front = libm::exp(-x + shape * libm::log(x) - libm::lgamma(shape));
    if x < shape + 1.0 {
        let mut term = 1.0 / shape;
        let mut sum = term;
        let mut a = shape;
        while term > sum * 1e-17 {
            a += 1.0;
            term *= x / a;
            sum += term;
        }
        return sum * front;
    }
    let tiny = 1e-300;
    let mut b = x + 1.0 - shape;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for i in 1..10_000 {
        let an = -f64::from(i) * (f64::from(i) - shape);
        b += 2.0;
        let nonzero = |v: f64| if v.abs() < tiny { tiny } else { v };
        d = 1.0 / nonzero(an * d + b);
        c = nonzero(b + an / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    1.0 - front * fraction
}

#[test]
fn the_functions_have_their_known_values() {
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    near(normal(1.959_963_984_540_054), 0.975);
    for x in [0.01, 0.5, 1.0, 3.0, 20.0] {
        // Shape 1 is the exponential distribution; shape 2 and a half in terms of the error function.
        near(gamma(1.0, x), exponential(x));
        near(gamma(0.5, x), libm::erf(x.sqrt()));
        near(gamma(2.0, x), 1.0 - (1.0 + x) * libm::exp(-x));
        near(weibull(1.0, x), exponential(x));
    }
}
