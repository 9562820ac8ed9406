//! Arithmetic in GF(256), and polynomials through points in it.
//!
//! No table and no branch depends on a secret byte: what a processor caches tells nothing.

use zeroize::Zeroizing;

/// A point of polynomials, one for each byte: their argument and their values.
pub(super) struct Point<'a> {
    /// The argument, which is no secret.
    pub x: u8,
    /// The values, all points of as many bytes.
    pub y: &'a [u8],
}

/// Returns the values at `x` of the polynomials of least degree through the points, whose arguments
/// must differ.
pub(super) fn interpolate(points: &[Point<'_>], x: u8) -> Zeroizing<Vec<u8>> {
    let len_bytes = points.first().map_or(0, |point| point.y.len());
    let mut values = Zeroizing::new(vec![0; len_bytes]);
    for (at, point) in points.iter().enumerate() {
        let others = points.iter().enumerate().filter(|(other, _)| *other != at);
        let weight = others.fold(1, |weight, (_, other)| {
            multiply(weight, multiply(x ^ other.x, invert(point.x ^ other.x)))
        });
        for (value, byte) in values.iter_mut().zip(point.y) {
            *value ^= multiply(*byte, weight);
        }
    }
    values
}

/// Returns the product modulo x⁸ + x⁴ + x³ + x + 1.
fn multiply(a: u8, b: u8) -> u8 {
    let (mut product, mut shifted) = (0, a);
    for bit in 0..8 {
        // All ones if the bit is set: a mask in place of a branch.
        product ^= shifted & 0u8.wrapping_sub(b >> bit & 1);
        shifted = shifted << 1 ^ 0x1b & 0u8.wrapping_sub(shifted >> 7);
    }
    product
}

/// Returns `a` to the power of 254, which is its inverse; 0 for 0.
fn invert(a: u8) -> u8 {
    let (mut power, mut square) = (1, a);
    for _ in 0..7 {
        square = multiply(square, square);
        power = multiply(power, square);
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of shifted copies, reduced bit by bit from the top: another way to the product.
    fn product_by_division(a: u8, b: u8) -> u8 {
        let sum =
            (0..8).filter(|bit| b >> bit & 1 == 1).fold(0u16, |sum, bit| sum ^ u16::from(a) << bit);
        (8..16).rev().fold(
            sum,
            |rest, bit| {
                if rest >> bit & 1 == 1 { rest ^ 0x11b << (bit - 8) } else { rest }
            },
        ) as u8
    }

    #[test]
    fn every_product_and_every_inverse_is_right() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), product_by_division(a, b), "{a} times {b}");
            }
            assert_eq!(multiply(a, invert(a)), u8::from(a != 0), "the inverse of {a}");
        }
    }

    #[test]
    fn a_polynomial_goes_through_its_points() {
        let ys = [[1, 200], [0, 7], [255, 9]];
        let points: Vec<Point> =
            [3, 255, 0].iter().zip(&ys).map(|(x, y)| Point { x: *x, y }).collect();
        for point in &points {
            assert_eq!(interpolate(&points, point.x)[..], *point.y);
        }
        // Two points and their line: its slope is the same everywhere.
        let line = |x| interpolate(&points[..2], x)[1];
        let slope = |x: u8| multiply(line(x) ^ line(0), invert(x));
        assert!((2..=255).all(|x| slope(x) == slope(1)));
    }
}
