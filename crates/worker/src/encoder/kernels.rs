//! The arithmetic of a forward pass, on slices of f32. The loops are written so that the compiler vectorizes
//! them. `pulp` selects the widest vectors that the machine has at run time.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use gemm::Parallelism;
use pulp::{Arch, Simd, WithSimd};

/// Computes a small product, so that `gemm` reads the sizes of the processor's caches from `/sys` and keeps
/// them. A confined process could not read them and would use guesses.
pub(crate) fn prepare() {
    const SIDE: usize = 2 * FEW_ROWS;
    let ones = vec![1.0; SIDE * SIDE];
    linear(&mut vec![0.0; SIDE * SIDE], &ones, &ones, SIDE);
}

/// Transposes a linear layer's weights from torch's `[height, width]` to `[width, height]`. The kernel can
/// then read them in place instead of packing them for every product (a fifth of the time).
pub(super) fn transpose(weights: &[f32], width: usize) -> Vec<f32> {
    let height = weights.len() / width;
    let mut turned = vec![0.0; weights.len()];
    for (row, values) in weights.chunks_exact(width).enumerate() {
        for (column, value) in values.iter().enumerate() {
            turned[column * height + row] = *value;
        }
    }
    turned
}

/// Computes `out = rows · weights`, all row-major: `rows` is `[count, width]`, `weights` `[width, height]`,
/// `out` `[count, height]`.
pub(super) fn linear(out: &mut [f32], rows: &[f32], weights: &[f32], width: usize) {
    let (count, height) = (rows.len() / width, weights.len() / width);
    if count <= FEW_ROWS {
        Arch::new().dispatch(FewRows { out, rows, weights, width, height });
        return;
    }
    multiply(
        &mut Matrix { values: out, rows: count, columns: height, row_stride: height },
        (rows, width, 1),
        (weights, height, 1),
        width,
        1.0,
    );
}

/// The most rows that count as few, as for a query. The weights are then read once and in order, because
/// reading them takes most of the time.
const FEW_ROWS: usize = 24;
/// The rows of weights that are read together: their products are summed before the result is stored.
const TOGETHER: usize = 4;

/// `out = rows · weights` for few rows; the shapes are those of [`linear`].
struct FewRows<'a> {
    out: &'a mut [f32],
    rows: &'a [f32],
    weights: &'a [f32],
    width: usize,
    height: usize,
}

impl WithSimd for FewRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, rows, weights, width, height } = self;
        out.fill(0.0);
        let whole = width / TOGETHER * TOGETHER;
        for at in (0..whole).step_by(TOGETHER) {
            let weights: [&[f32]; TOGETHER] =
                std::array::from_fn(|part| &weights[(at + part) * height..(at + part + 1) * height]);
            // Two rows share the loaded weights.
            let mut pairs = out.chunks_exact_mut(2 * height);
            let mut row = 0;
            for pair in &mut pairs {
                let (one, two) = pair.split_at_mut(height);
                let factors = [row, row + 1].map(|row| &rows[row * width + at..row * width + at + TOGETHER]);
                add_products(simd, [one, two], factors, weights);
                row += 2;
            }
            let last = pairs.into_remainder();
            if !last.is_empty() {
                add_products(simd, [last], [&rows[row * width + at..row * width + at + TOGETHER]], weights);
            }
        }
        for at in whole..width {
            for (out, row) in out.chunks_exact_mut(height).zip(rows.chunks_exact(width)) {
                for (out, weight) in out.iter_mut().zip(&weights[at * height..]) {
                    *out += row[at] * weight;
                }
            }
        }
    }
}

/// Adds the `weights`, each multiplied by its factor, to each of `sums`.
#[inline(always)]
fn add_products<S: Simd, const ROWS: usize>(
    simd: S,
    sums: [&mut [f32]; ROWS],
    factors: [&[f32]; ROWS],
    weights: [&[f32]; TOGETHER],
) {
    let weights = weights.map(S::as_simd_f32s);
    let splat = factors
        .map(|factors| -> [S::f32s; TOGETHER] { std::array::from_fn(|part| simd.splat_f32s(factors[part])) });
    let sums = sums.map(S::as_mut_simd_f32s);
    for at in 0..weights[0].0.len() {
        let loaded: [S::f32s; TOGETHER] = std::array::from_fn(|part| weights[part].0[at]);
        for row in 0..ROWS {
            let mut sum = sums[row].0[at];
            for part in 0..TOGETHER {
                sum = simd.mul_add_e_f32s(splat[row][part], loaded[part], sum);
            }
            sums[row].0[at] = sum;
        }
    }
    for row in 0..ROWS {
        for (at, sum) in sums[row].1.iter_mut().enumerate() {
            for part in 0..TOGETHER {
                *sum += factors[row][part] * weights[part].1[at];
            }
        }
    }
}

/// The output of a product: `rows` of `columns`, with the distance `row_stride` between rows.
pub(super) struct Matrix<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
}

/// Computes `out = scale · left · right`. Each operand comes with the distances between its rows and between
/// its columns; `inner` is the length of the sums.
///
/// # Panics
/// An operand is shorter than its strides require.
pub(super) fn multiply(
    out: &mut Matrix<'_>,
    (left, left_row, left_column): (&[f32], usize, usize),
    (right, right_row, right_column): (&[f32], usize, usize),
    inner: usize,
    scale: f32,
) {
    let (rows, columns) = (out.rows, out.columns);
    if rows == 0 || columns == 0 || inner == 0 {
        return;
    }
    assert!(out.values.len() > (rows - 1) * out.row_stride + columns - 1);
    assert!(left.len() > (rows - 1) * left_row + (inner - 1) * left_column);
    assert!(right.len() > (inner - 1) * right_row + (columns - 1) * right_column);
    let stride = |distance: usize| distance.cast_signed();
    // SAFETY: the pointers come from slices, and the asserts above keep every index that the strides and
    // sizes can produce within them. `out` is borrowed mutably, so nothing else points into it.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.values.as_mut_ptr(),
            1,
            stride(out.row_stride),
            false,
            left.as_ptr(),
            stride(left_column),
            stride(left_row),
            right.as_ptr(),
            stride(right_column),
            stride(right_row),
            0.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Adds `bias` to every row.
pub(super) fn add_bias(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(|| {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    });
}

/// Computes `rows = norm(rows + bias + residual)`: layer normalization of each row (Ba, Kiros, Hinton 2016).
pub(super) fn add_and_norm(
    rows: &mut [f32],
    bias: &[f32],
    residual: &[f32],
    (weight, shift): (&[f32], &[f32]),
    epsilon: f32,
) {
    Arch::new().dispatch(|| {
        for (row, residual) in rows.chunks_exact_mut(bias.len()).zip(residual.chunks_exact(bias.len())) {
            for ((value, bias), residual) in row.iter_mut().zip(bias).zip(residual) {
                *value += bias + residual;
            }
            norm_row(row, weight, shift, epsilon);
        }
    });
}

/// Computes the layer normalization of every row.
pub(super) fn norm(rows: &mut [f32], (weight, shift): (&[f32], &[f32]), epsilon: f32) {
    Arch::new().dispatch(|| {
        for row in rows.chunks_exact_mut(weight.len()) {
            norm_row(row, weight, shift, epsilon);
        }
    });
}

#[inline(always)]
fn norm_row(row: &mut [f32], weight: &[f32], shift: &[f32], epsilon: f32) {
    let mean = sum(row, |value| value) / row.len() as f32;
    let variance = sum(row, |value| (value - mean) * (value - mean)) / row.len() as f32;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for ((value, weight), shift) in row.iter_mut().zip(weight).zip(shift) {
        *value = (*value - mean) * scale * weight + shift;
    }
}

/// Sums in sixteen lanes, because a single running sum cannot be vectorized.
#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let mut chunks = values.chunks_exact(16);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += of(*value);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|value| of(*value)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// The activation function of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// With the error function, as in BERT.
    Gelu,
    /// The tanh approximation (Hendrycks, Gimpel 2016).
    GeluTanh,
    Relu,
}

/// Adds `bias` to every row and applies the activation.
pub(super) fn activate(rows: &mut [f32], bias: &[f32], activation: Activation) {
    Arch::new().dispatch(|| {
        for row in rows.chunks_exact_mut(bias.len()) {
            let values = row.iter_mut().zip(bias);
            match activation {
                Activation::Gelu => values.for_each(|(value, bias)| *value = gelu(*value + bias)),
                Activation::GeluTanh => values.for_each(|(value, bias)| *value = gelu_tanh(*value + bias)),
                Activation::Relu => values.for_each(|(value, bias)| *value = (*value + bias).max(0.0)),
            }
        }
    });
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    // sqrt(2/π)
    let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    // tanh y = 1 − 2 / (e^2y + 1)
    0.5 * x * (2.0 - 2.0 / (exp(2.0 * inner) + 1.0))
}

/// Computes the error function to within 1e-6: 1.5e-7 from Abramowitz and Stegun 7.1.26, the rest from
/// rounding f32 values near 1.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let series =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - series * exp(-a * a)).copysign(x)
}

/// Computes eˣ for |x| up to 87, with a relative error of at most (3 + |x|)·1e-7: 2ⁿ·2ᶠ with a polynomial for
/// 2ᶠ on ±½ (Taylor, degree 6). The part that grows with |x| is the rounding of x·log₂e.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // At 1.5·2²³ an f32 has no fraction bits: the sum is rounded to a whole number, which its lowest bits
    // contain.
    const WHOLE: f32 = 12_582_912.0;
    let y = x.clamp(-87.0, 88.0) * std::f32::consts::LOG2_E;
    let shifted = y + WHOLE;
    let f = (y - (shifted - WHOLE)) * std::f32::consts::LN_2;
    let p = 1.0
        + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    let exponent = shifted.to_bits().wrapping_sub(WHOLE.to_bits()).wrapping_add(127);
    p * f32::from_bits(exponent.wrapping_shl(23))
}

/// Computes the softmax of every row.
pub(super) fn softmax(rows: &mut [f32], width: usize) {
    Arch::new().dispatch(|| {
        for row in rows.chunks_exact_mut(width) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for value in row.iter_mut() {
                *value = exp(*value - largest);
            }
            let scale = 1.0 / sum(row, |value| value);
            for value in row.iter_mut() {
                *value *= scale;
            }
        }
    });
}

/// Computes `to += from`.
pub(super) fn add(to: &mut [f32], from: &[f32]) {
    Arch::new().dispatch(|| {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Computes it in f64, by its series and by the continued fraction of its complement.
    fn exact_erf(x: f64) -> f64 {
        if x.abs() < 3.0 {
            let (mut term, mut sum) = (x, x);
            for n in 1..200 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * 2.0 / std::f64::consts::PI.sqrt()
        } else {
            let a = x.abs();
            let fraction = (1..60).rev().fold(a, |tail, n| a + f64::from(n) / 2.0 / tail);
            (1.0 - (-a * a).exp() / fraction / std::f64::consts::PI.sqrt()).copysign(x)
        }
    }

    proptest! {
        #[test]
        fn the_functions_are_close_to_the_exact_ones(x in -20.0f32..20.0) {
            let exact = f64::from(x);
            prop_assert!((f64::from(erf(x)) - exact_erf(exact)).abs() < 1e-6, "erf {x}");
            let bound = (3.0 + exact.abs()) * 1e-7;
            prop_assert!((f64::from(exp(x)) / exact.exp() - 1.0).abs() < bound, "exp {x}");
            let tanh = 0.5 * exact * (1.0 + (0.797_884_560_802_865_4 * (exact + 0.044715 * exact.powi(3))).tanh());
            prop_assert!((f64::from(gelu_tanh(x)) - tanh).abs() < 1e-5, "gelu {x}");
        }

        #[test]
        fn a_matrix_product_equals_the_naive_sums(
            rows in 1usize..30, columns in 1usize..40, inner in 1usize..11, seed: u32,
        ) {
            let value = |index: usize| ((index as u32).wrapping_mul(seed | 1) >> 24) as f32 / 128.0 - 1.0;
            let left: Vec<f32> = (0..rows * inner).map(value).collect();
            let weights: Vec<f32> = (0..columns * inner).map(|index| value(index + 7)).collect();
            let mut out = vec![f32::NAN; rows * columns];
            linear(&mut out, &left, &transpose(&weights, inner), inner);
            for row in 0..rows {
                for column in 0..columns {
                    let sum: f32 =
                        (0..inner).map(|at| left[row * inner + at] * weights[column * inner + at]).sum();
                    prop_assert!((out[row * columns + column] - sum).abs() < 1e-4);
                }
            }
        }

        #[test]
        fn softmax_sums_to_one(mut row in prop::collection::vec(-50.0f32..50.0, 1..70)) {
            let width = row.len();
            softmax(&mut row, width);
            prop_assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5 && row.iter().all(|value| *value >= 0.0));
        }
    }
}
