//! Errors as JSON with a fitting status code.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tearless::error::{AttachError, QueryError, SnapshotError};

/// A status code and the reason for it.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }

    pub(crate) fn not_found(what: &str) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        let status = match &error {
            gone if gone.is_gone() => StatusCode::NOT_FOUND,
            // A channel of such a name can't exist.
            QueryError::Attach(AttachError::Name(_)) => StatusCode::NOT_FOUND,
            empty if empty.is_empty() => StatusCode::SERVICE_UNAVAILABLE,
            QueryError::Snapshot(SnapshotError::Contended { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}
