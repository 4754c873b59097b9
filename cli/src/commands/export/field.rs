//! The numbers in a state.

use prometheus_client::encoding::{EncodeGaugeValue, GaugeValueEncoder};
use serde_json::{Number, Value};
use tearless::dynamic::Step;

use crate::output::step_text;

/// The most fields of one channel that are exported.
pub(super) const MAX_FIELDS: usize = 256;

/// The longest path of a field, in bytes. One that is longer is left out, and not cut: two might become the
/// same.
pub(super) const MAX_PATH_BYTES: usize = 200;

/// The most values that are looked at in one state, numbers or not.
const MAX_LOOKS: usize = 64 * MAX_FIELDS;

/// A number as it is exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    /// Written without a fraction.
    Whole(i64),
    /// Any other.
    Float(f64),
}

impl EncodeGaugeValue for Figure {
    fn encode(&self, encoder: &mut GaugeValueEncoder) -> std::fmt::Result {
        match self {
            Figure::Whole(number) => number.encode(encoder),
            Figure::Float(number) => number.encode(encoder),
        }
    }
}

impl Figure {
    fn of(number: &Number) -> Option<Figure> {
        number.as_i64().map(Figure::Whole).or_else(|| number.as_f64().map(Figure::Float))
    }
}

/// One number in a state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    /// As [`tearless::dynamic::FieldPath`] writes it.
    pub(super) path: String,
    pub(super) figure: Figure,
}

/// The numbers in a state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    /// In the order of the state.
    pub(super) all: Vec<Field>,
    /// How many there are besides, as far as it was looked.
    pub(super) left_out: u64,
}

impl Fields {
    /// Numbers, and booleans as 0 and 1, of objects by name, of arrays by index. Texts are none, and so are
    /// numbers that JSON can only give as text: `NaN`, infinite ones, those beyond 64 bits.
    pub(super) fn of(state: &Value) -> Fields {
        let mut walk = Walk { fields: Fields::default(), path: String::new(), looks: 0 };
        walk.visit(state);
        walk.fields
    }
}

struct Walk {
    fields: Fields,
    /// Of the value that is visited.
    path: String,
    looks: usize,
}

impl Walk {
    /// Goes as deep as the value does, which whoever made it has limited.
    fn visit(&mut self, value: &Value) {
        self.looks += 1;
        match value {
            _ if self.looks > MAX_LOOKS => {}
            Value::Number(number) => Figure::of(number).into_iter().for_each(|figure| self.take(figure)),
            Value::Bool(is_set) => self.take(Figure::Whole(i64::from(*is_set))),
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.step(Step::Index(index), element);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.step(Step::Name(name.clone()), member);
                }
            }
            Value::Null | Value::String(_) => {}
        }
    }

    fn step(&mut self, step: Step, value: &Value) {
        if self.looks > MAX_LOOKS {
            return;
        }
        let len = self.path.len();
        self.path.push_str(&step_text(&self.path, step));
        self.visit(value);
        self.path.truncate(len);
    }

    fn take(&mut self, figure: Figure) {
        if self.fields.all.len() < MAX_FIELDS && self.path.len() <= MAX_PATH_BYTES {
            self.fields.all.push(Field { path: self.path.clone(), figure });
        } else {
            self.fields.left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tearless::dynamic::FieldPath;

    use super::*;

    fn paths(state: &Value) -> Vec<String> {
        Fields::of(state).all.into_iter().map(|field| field.path).collect()
    }

    #[test]
    fn numbers_are_found_wherever_they_are() {
        let state = json!({
            "jobs": 3, "load": 0.5, "busy": true, "phase": "idle", "none": null,
            "queue": [{"deadline": -1}, {"deadline": u64::MAX}], "by name": {"worker 7": 1, "": 2}, "nan": "NaN",
        });
        let fields = Fields::of(&state);
        let found: Vec<_> = fields.all.iter().map(|field| (field.path.as_str(), field.figure)).collect();
        assert_eq!(
            found,
            [
                ("jobs", Figure::Whole(3)),
                ("load", Figure::Float(0.5)),
                ("busy", Figure::Whole(1)),
                ("queue[0].deadline", Figure::Whole(-1)),
                ("queue[1].deadline", Figure::Float(u64::MAX as f64)),
                (found[5].0, Figure::Whole(1)),
                (found[6].0, Figure::Whole(2)),
            ]
        );
        // The paths are those of everything else in the library: they lead there.
        for field in &fields.all {
            let path: FieldPath = field.path.parse().unwrap();
            assert!(path.find(&state).is_some(), "{path}");
        }
    }

    #[test]
    fn a_state_that_is_a_number_or_an_array_has_fields_too() {
        assert_eq!(paths(&json!(7)), [""]);
        assert_eq!(paths(&json!([1, [2]])), ["[0]", "[1][0]"]);
    }

    #[test]
    fn what_is_too_much_is_left_out_and_counted() {
        let many = Fields::of(&json!(vec![1; MAX_FIELDS + 5]));
        assert_eq!((many.all.len(), many.left_out), (MAX_FIELDS, 5));
        let long = Fields::of(&json!({"n".repeat(MAX_PATH_BYTES + 1): 1, "short": 2}));
        assert_eq!((long.all.len(), long.left_out), (1, 1));
        let endless = Fields::of(&json!(vec!["text"; 1_000_000]));
        assert_eq!(endless, Fields::default());
    }
}
