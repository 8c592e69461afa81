//! Addresses that work for their bearer and for some minutes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{DataExportId, Timestamp};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::graphql::ids::GlobalId;

/// Where exports are fetched.
pub const PATH: &str = "/exports/";

/// Signs addresses with a key of its own, derived from the secret of the access tokens: neither can pass for the other.
pub struct Links {
    key: [u8; 32],
}

impl Links {
    pub fn new(secret: &[u8]) -> Self {
        let mut key = [0; 32];
        let derived = Hkdf::<Sha256>::new(None, secret).expand(b"kith: links to data exports, 1", &mut key);
        derived.expect("32 bytes are not too many for SHA-256");
        Self { key }
    }

    /// The path and query of an export's address, which works until `expires_at`, to the second.
    pub fn sign(&self, id: DataExportId, expires_at: Timestamp) -> String {
        let expires = expires_at.0 / 1000;
        let signature = URL_SAFE_NO_PAD.encode(self.mac(id, expires).finalize().into_bytes());
        format!("{PATH}{}?expires={expires}&signature={signature}", id.encode().as_str())
    }

    /// The export that an address names; none for whatever is wrong with it. What is compared is compared in constant
    /// time.
    pub fn verify(&self, path: &str, query: &str, now: Timestamp) -> Option<DataExportId> {
        let id = DataExportId::decode(path.strip_prefix(PATH)?)?;
        let parameter = |name: &str| {
            let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
            // Twice is once too often: who knows which of the two others read.
            values.next().filter(|_| values.next().is_none()).map(|(_, value)| value)
        };
        let expires: i64 = parameter("expires")?.parse().ok()?;
        let signature = URL_SAFE_NO_PAD.decode(parameter("signature")?).ok()?;
        self.mac(id, expires).verify_slice(&signature).ok()?;
        (now.0 < expires.checked_mul(1000)?).then_some(id)
    }

    fn mac(&self, id: DataExportId, expires: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(id.0.as_bytes());
        mac.update(&expires.to_be_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn links() -> Links {
        Links::new(b"a-secret-of-at-least-thirty-two-bytes")
    }

    fn verify(links: &Links, address: &str, now: Timestamp) -> Option<DataExportId> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        links.verify(path, query, now)
    }

    #[test]
    fn an_address_names_one_export_for_a_while() {
        let id = DataExportId(Uuid::from_u128(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881));
        let address = links().sign(id, NOW.plus_seconds(60));
        assert!(address.starts_with("/exports/export_01h2xcejqtf2nbrexx3vqjhp41?expires=1700000060&"), "{address}");
        assert_eq!(verify(&links(), &address, NOW), Some(id));
        assert_eq!(verify(&links(), &address, Timestamp(NOW.plus_seconds(60).0 - 1)), Some(id));
        assert_eq!(verify(&links(), &address, NOW.plus_seconds(60)), None);
    }

    #[test]
    fn whatever_is_changed_makes_it_worthless() {
        let (id, other) = (DataExportId(Uuid::from_u128(1)), DataExportId(Uuid::from_u128(2)));
        let address = links().sign(id, NOW.plus_seconds(60));
        let signature = address.rsplit_once('=').expect("a signature").1;
        let foreign = links().sign(other, NOW.plus_seconds(60));
        let foreign_signature = foreign.rsplit_once('=').expect("a signature").1;
        let cut = &address[..address.len() - 1];
        let changed = [
            address.replace("expires=1700000060", "expires=1700000061"),
            address.replace("expires=1700000060", "expires=99999999999999999999"),
            address.replace("expires=1700000060", "expires=9223372036854775807"),
            address.replace("expires=1700000060", "expires="),
            address.replace("expires=1700000060&", ""),
            address.replace(signature, foreign_signature),
            address.replace(signature, ""),
            address.replace(id.encode().as_str(), other.encode().as_str()),
            address.replace("export_", "user_"),
            format!("{address}A"),
            format!("{address}&expires=1700000060"),
            cut.to_owned(),
            address.split_once('?').expect("a query").0.to_owned(),
            String::new(),
        ];
        for address in changed {
            assert_eq!(verify(&links(), &address, NOW), None, "{address}");
        }
        let others = Links::new(b"another-secret-of-thirty-two-bytes!!");
        assert_eq!(verify(&others, &address, NOW), None, "signed by another installation");
    }
}
