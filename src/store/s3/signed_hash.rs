//! Signature with a known hash of a streamed body.

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use sha2::{Digest, Sha256};

/// Signs a request with a known hash; for a streamed body the SDK would sign "unknown".
#[derive(Debug)]
pub(super) struct SignedHash(PayloadSigningOverride);

impl SignedHash {
    /// Takes the hash of a body.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let hex = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self(PayloadSigningOverride::Precomputed(hex))
    }
}

impl Intercept for SignedHash {
    fn name(&self) -> &'static str {
        "SignedHash"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(self.0.clone());
        Ok(())
    }
}
