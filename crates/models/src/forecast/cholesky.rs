//! Systems of linear equations with a symmetric positive definite matrix.

/// Solves `A X = B` for `n` unknowns and `m` right-hand sides, both row by row; `None` where `A` is not positive
/// definite. `b` is overwritten with `X`. Golub and Van Loan, Matrix Computations, 4.2.
pub(super) fn solve(mut a: Vec<f64>, n: usize, b: &mut [f64], m: usize) -> Option<()> {
    assert_eq!((a.len(), b.len()), (n * n, n * m), "shapes");
    for row in 0..n {
        for column in 0..=row {
            let (above, below) = a.split_at(row * n);
            let (left, other) =
                if column == row { (below, below) } else { (below, &above[column * n..column * n + n]) };
            let dot = dot(&left[..column], &other[..column]);
            let rest = a[row * n + column] - dot;
            if column < row {
                a[row * n + column] = rest / a[column * n + column];
            } else if rest > 0.0 {
                a[row * n + row] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    // Forward, then back, a whole row of right-hand sides at a time.
    for row in 0..n {
        let (done, rest) = b.split_at_mut(row * m);
        let target = &mut rest[..m];
        for column in 0..row {
            subtract(target, a[row * n + column], &done[column * m..column * m + m]);
        }
        divide(target, a[row * n + row]);
    }
    for row in (0..n).rev() {
        let (head, done) = b.split_at_mut(row * m + m);
        let target = &mut head[row * m..];
        for later in row + 1..n {
            let at = (later - row - 1) * m;
            subtract(target, a[later * n + row], &done[at..at + m]);
        }
        divide(target, a[row * n + row]);
    }
    Some(())
}

/// Four partial sums in a fixed order: the same bits everywhere, and quick.
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let (left4, left_rest) = left.as_chunks::<4>();
    let (right4, right_rest) = right.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (l, r) in left4.iter().zip(right4) {
        for lane in 0..4 {
            sums[lane] += l[lane] * r[lane];
        }
    }
    let mut sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (l, r) in left_rest.iter().zip(right_rest) {
        sum += l * r;
    }
    sum
}

fn subtract(target: &mut [f64], factor: f64, row: &[f64]) {
    for (target, value) in target.iter_mut().zip(row) {
        *target -= factor * value;
    }
}

fn divide(target: &mut [f64], by: f64) {
    for value in target {
        *value /= by;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_small_system_is_solved_and_an_indefinite_one_refused() {
        let mut b = vec![2.0, 4.0, 5.0, 11.0];
        super::solve(vec![4.0, 2.0, 2.0, 3.0], 2, &mut b, 2).unwrap();
        // 4x + 2y = 2, 2x + 3y = 5 and 4x + 2y = 4, 2x + 3y = 11.
        for (found, expected) in b.iter().zip([-0.5, -1.25, 2.0, 4.5]) {
            assert!((found - expected).abs() < 1e-12, "{b:?}");
        }
        assert!(super::solve(vec![1.0, 2.0, 2.0, 1.0], 2, &mut [0.0, 0.0], 1).is_none());
    }
}
