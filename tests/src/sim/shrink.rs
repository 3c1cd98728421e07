//! The smallest plan that still fails: steps are taken out in halves, then quarters, down to single ones.

use std::sync::Arc;

use qianmo_client_core::forms::FormSet;

use super::plan::Plan;
use super::world::run;

/// Runs that shrinking may take.
const RUNS_MAX: usize = 400;

/// The numbers of the steps that are enough for a problem of the same kind.
#[must_use]
pub fn shrink(plan: &Plan, forms: &Arc<FormSet>, kind: &str) -> Vec<usize> {
    let fails = |numbers: &[usize]| {
        let outcome = run(&plan.keeping(numbers), forms);
        outcome.problems.first().is_some_and(|problem| kind_of(problem) == kind)
    };
    let mut numbers: Vec<usize> = plan.steps.iter().map(|step| step.number).collect();
    let mut chunk = numbers.len().div_ceil(2).max(1);
    let mut runs = 0;
    while runs < RUNS_MAX {
        let mut at = 0;
        let mut removed = false;
        while at < numbers.len() && runs < RUNS_MAX {
            let end = (at + chunk).min(numbers.len());
            let rest: Vec<usize> = numbers[..at].iter().chain(&numbers[end..]).copied().collect();
            runs += 1;
            if fails(&rest) {
                numbers = rest;
                removed = true;
            } else {
                at = end;
            }
        }
        if chunk == 1 && !removed {
            break;
        }
        if !removed {
            chunk = (chunk / 2).max(1);
        }
    }
    numbers
}

/// What kind of problem it is: its words without names and numbers.
#[must_use]
pub fn kind_of(problem: &str) -> String {
    problem.chars().filter(|one| one.is_ascii_alphabetic() || *one == ' ').take(40).collect()
}
