//! Reads the selected worker's state.

use std::time::Duration;

use tearless::Namespace;

use super::detail::Detail;
use crate::output::printable;

#[derive(Debug)]
pub(super) struct Inspector {
    namespace: Namespace,
    name: Option<String>,
    detail: Detail,
}

impl Inspector {
    pub(super) fn new(namespace: Namespace) -> Inspector {
        Inspector { namespace, name: None, detail: Detail::default() }
    }

    pub(super) fn detail(&self) -> &Detail {
        &self.detail
    }

    pub(super) fn is_of_another(&self, selected: Option<&str>) -> bool {
        self.name.as_deref() != selected
    }

    pub(super) fn look(&mut self, selected: Option<&str>, _at: Duration) {
        let _ = &self.namespace;
        self.name = selected.map(str::to_owned);
        self.detail.label = printable(selected.unwrap_or_default()).into_owned();
    }
}
