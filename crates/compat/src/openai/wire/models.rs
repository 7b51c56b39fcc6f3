//! The responses of `GET /v1/models` and `GET /v1/models/{id}`.

use serde::Serialize;

/// A list of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenAiModelList {
    /// The type of the object, always `list`.
    pub object: &'static str,
    /// The models and aliases: the default chat model first, then other chat models, then the rest.
    pub data: Vec<OpenAiModel>,
}

/// One model or alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenAiModel {
    /// The name, which requests send as `model`.
    pub id: String,
    /// The type of the object, always `model`.
    pub object: &'static str,
    /// The time at which the model was installed, in seconds since the Unix epoch; 0 for a remote model.
    pub created: i64,
    /// The owner, always `lar`.
    pub owned_by: &'static str,
}
