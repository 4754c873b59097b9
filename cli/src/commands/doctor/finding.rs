//! What `tearless doctor` reports, and objects that this user may not open.

use serde::Serialize;
use std::collections::BTreeMap;
use tearless::{
    error::ObjectError,
    inspect::{may_be_unmapped, quoted},
};

use crate::error::{for_shells, trust};

/// Whether the user has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Problem,
    Note,
}

/// One finding, and what to do about it. The help documents its JSON form.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) check: &'static str,
    pub(super) namespace: Option<String>,
    pub(super) channel: Option<String>,
    pub(super) what: String,
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn problem(
        check: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        let (what, advice) = (for_shells(&what.into()), advice.into());
        Finding { severity: Severity::Problem, check, namespace: None, channel: None, what, advice }
    }

    pub(super) fn note(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { severity: Severity::Note, ..Finding::problem(check, what, advice) }
    }
}

/// How many findings of one kind are printed for people, in each namespace.
const MAX_ALIKE: usize = 3;

/// The first findings of each kind, and the number of the others. JSON has all of them.
pub(super) fn few_of_each(mut findings: Vec<Finding>, context: &crate::context::Context) -> Vec<Finding> {
    let mut kinds = BTreeMap::new();
    findings.retain(|it| {
        let kind = (it.namespace.clone(), it.check);
        let (count, _) = kinds.entry(kind).and_modify(|(count, _)| *count += 1).or_insert((1, it.severity));
        context.json || *count <= MAX_ALIKE
    });
    for ((namespace, check), (count, severity)) in kinds {
        if count > MAX_ALIKE && !context.json {
            let what = format!("{} more of this kind: {check}", count - MAX_ALIKE);
            let advice = match check {
                "dead" => "`tearless gc --keep TIME` removes last states that are older",
                _ => "`tearless doctor --json` lists all of them",
            };
            findings.push(Finding { namespace, severity, ..Finding::problem(check, what, advice) });
        }
    }
    findings
}

/// A finding for each reason why objects were not opened, however many objects it concerns.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<String, Finding>);

impl Refusals {
    /// Records `error` if it is a refusal; returns whether it is one.
    pub(super) fn take(&mut self, error: &ObjectError) -> bool {
        const ADMIT: &str = "run this as that user; or admit you in all writers (--permissions, --group), and add --trust-owner";
        let untrusted = |user| {
            Finding::note("other-user", format!("objects of user {user} were not opened"), trust(user))
        };
        let finding = match error {
            ObjectError::OtherOwner { owner, .. } => untrusted(*owner),
            ObjectError::PermissionDenied { object, owner } => match *owner {
                Some(owner) if may_be_unmapped(owner) => untrusted(owner),
                Some(own) if own == rustix::process::geteuid().as_raw() => {
                    let what = format!("you may not open {object}, although it is yours");
                    let advice = format!("chmod 600 {}; or a security module forbids it", quoted(object));
                    Finding::problem("permissions", what, advice)
                }
                owner => {
                    let who = owner.map_or("the system".into(), |owner| format!("user {owner}"));
                    let what = format!("{who} does not admit you to some of its objects");
                    Finding::note("other-user", what, ADMIT)
                }
            },
            // Whether objects can be created has said so.
            ObjectError::Unusable { .. } => return true,
            _ => return false,
        };
        self.0.insert(finding.what.clone(), finding);
        true
    }

    /// A finding for each.
    pub(super) fn findings(self) -> impl Iterator<Item = Finding> {
        self.0.into_values()
    }
}
