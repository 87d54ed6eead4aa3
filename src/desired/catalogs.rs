//! The catalogs of a cluster: those written in its spec, and the TrinoCatalogs that its selector picks. Pure.
//!
//! What a selector picks becomes part of the spec that a revision is made from, so a revision never changes with a TrinoCatalog.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

use super::revision::digest;
use crate::api::{
    CatalogSelection, Properties, PropertySecret, ResolvedCatalog, SecretProperties, TrinoCatalog, TrinoCatalogSpec,
    TrinoClusterSpec,
};

/// The most catalogs that a selector may pick: the schema bounds what a group writes into its clusters.
const MOST: usize = 64;

/// Why a cluster cannot have the catalogs that its spec asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Two TrinoCatalogs have one name in Trino.
    #[error(
        "catalogs.selector picks TrinoCatalogs {first:?} and {second:?}, which are both the catalog {name:?}; give one of them \
         another spec.catalogName, or labels that the selector does not pick"
    )]
    Twice {
        /// The catalog's name.
        name: String,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A TrinoCatalog has the name of an inline catalog.
    #[error(
        "catalogs.selector picks TrinoCatalog {object:?}, which is the catalog {name:?} as catalogs.inline.{name} is; remove \
         one of them, or give the TrinoCatalog another spec.catalogName"
    )]
    Inline {
        /// The catalog's name.
        name: String,
        /// The TrinoCatalog.
        object: String,
    },
    /// The selector picks more than a cluster may have.
    #[error("catalogs.selector picks {count} TrinoCatalogs, and {MOST} are the limit; narrow it by matchLabels")]
    TooMany {
        /// How many.
        count: usize,
    },
}

/// Where a catalog was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// In the cluster's spec.
    Inline,
    /// In the TrinoCatalog of this name.
    Object(&'a str),
}

/// A catalog of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog<'a> {
    /// Its name in Trino.
    pub name: &'a str,
    /// Where it was written.
    pub origin: Origin<'a>,
    /// Its properties but for secrets, with `connector.name`.
    pub properties: Properties,
    /// Its properties in Secrets.
    pub secrets: Option<&'a SecretProperties>,
}

/// The name that a catalog has in Trino.
pub fn catalog_name(catalog: &TrinoCatalog) -> &str {
    catalog.spec.catalog_name.as_deref().or(catalog.metadata.name.as_deref()).unwrap_or_default()
}

/// Whether the selector of `spec` picks `catalog`, which is of the same namespace. One that is being deleted is picked no more.
pub fn picks(spec: &TrinoClusterSpec, catalog: &TrinoCatalog) -> bool {
    let Some(CatalogSelection { match_labels }) = selector(spec) else { return false };
    let labels = catalog.metadata.labels.as_ref();
    catalog.metadata.deletion_timestamp.is_none()
        && match_labels.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// The selector of a spec whose catalogs are not resolved yet.
pub fn selector(spec: &TrinoClusterSpec) -> Option<&CatalogSelection> {
    let catalogs = spec.catalogs.as_ref()?;
    catalogs.selector.as_ref().filter(|_| catalogs.resolved.is_none())
}

/// A TrinoCatalog as it goes into a cluster's spec.
pub fn resolved(catalog: &TrinoCatalog) -> ResolvedCatalog {
    // Whether its status is kept is nothing that a cluster is made from.
    let TrinoCatalogSpec { paused: _, catalog_name: _, connector, properties, secret_properties, version } =
        catalog.spec.clone();
    ResolvedCatalog { trino_catalog: catalog.metadata.name.clone(), connector, properties, secret_properties, version }
}

/// `spec` with what its selector picks of `catalogs`, those of its namespace, written into it; `spec` as it is where it has no
/// selector.
///
/// # Errors
/// When two catalogs would have one name, or when there are too many.
pub fn resolve<'a>(
    spec: &TrinoClusterSpec,
    catalogs: impl IntoIterator<Item = &'a TrinoCatalog>,
) -> Result<TrinoClusterSpec, CatalogError> {
    let mut spec = spec.clone();
    if selector(&spec).is_none() {
        return Ok(spec);
    }
    let mut picked: Vec<_> = catalogs.into_iter().filter(|catalog| picks(&spec, catalog)).collect();
    // One order, so that one conflict has one message.
    picked.sort_by_key(|catalog| catalog.metadata.name.clone());
    let own = spec.catalogs.get_or_insert_default();
    let mut found = BTreeMap::new();
    for catalog in &picked {
        let (name, object) = (catalog_name(catalog), catalog.metadata.name.clone().unwrap_or_default());
        if own.inline.contains_key(name) {
            return Err(CatalogError::Inline { name: name.to_owned(), object });
        }
        let before = found.insert(name.to_owned(), resolved(catalog));
        if let Some(first) = before.and_then(|before| before.trino_catalog) {
            return Err(CatalogError::Twice { name: name.to_owned(), first, second: object });
        }
    }
    if found.len() > MOST {
        return Err(CatalogError::TooMany { count: found.len() });
    }
    // An object that is empty may be dropped on its way: without the selector, none is none, and not "as they stand now".
    own.selector = None;
    own.resolved = Some(found);
    Ok(spec)
}

/// All catalogs of a spec, those that its selector picked included if it is resolved.
pub fn all(spec: &TrinoClusterSpec) -> Vec<Catalog<'_>> {
    let Some(catalogs) = &spec.catalogs else { return Vec::new() };
    let inline = catalogs.inline.iter().map(|(name, properties)| Catalog {
        name,
        origin: Origin::Inline,
        properties: properties.clone(),
        secrets: catalogs.secret_properties.get(name),
    });
    let picked = catalogs.resolved.iter().flatten().map(|(name, catalog)| {
        let mut properties = catalog.properties.clone();
        properties.insert("connector.name".to_owned(), catalog.connector.clone());
        let origin = Origin::Object(catalog.trino_catalog.as_deref().unwrap_or(name));
        Catalog { name, origin, properties, secrets: Some(&catalog.secret_properties) }
    });
    inline.chain(picked).collect()
}

impl Catalog<'_> {
    /// Its file: secrets stand there by the names of their variables.
    pub(super) fn file(&self) -> Properties {
        let mut properties = self.properties.clone();
        let secrets = self.secrets.into_iter().flatten();
        properties
            .extend(secrets.map(|(key, from)| (key.clone(), format!("${{ENV:{}}}", variable(&from.secret_key_ref)))));
        properties
    }

    /// Its path in the object that it was written in, for messages.
    pub fn path(&self, key: &str) -> String {
        match self.origin {
            Origin::Inline if self.secrets.is_some_and(|secrets| secrets.contains_key(key)) => {
                format!("spec.catalogs.secretProperties.{}[{key}]", self.name)
            }
            Origin::Inline => format!("spec.catalogs.inline.{}[{key}]", self.name),
            Origin::Object(object) => {
                let field = match key {
                    "connector.name" => "spec.connector".to_owned(),
                    key if self.secrets.is_some_and(|secrets| secrets.contains_key(key)) => {
                        format!("spec.secretProperties[{key}]")
                    }
                    key => format!("spec.properties[{key}]"),
                };
                format!("{field} of {}", mention(object))
            }
        }
    }
}

impl CatalogError {
    /// Whether it speaks of the TrinoCatalog of this name.
    pub fn involves(&self, object: &str) -> bool {
        match self {
            Self::Twice { name: _, first, second } => first == object || second == object,
            Self::Inline { name: _, object: other } => other == object,
            Self::TooMany { .. } => false,
        }
    }
}

/// How messages speak of a TrinoCatalog.
pub fn mention(object: &str) -> String {
    format!("TrinoCatalog {object:?}")
}

/// The environment variables that bring the catalogs' secrets, one for each key of a Secret.
pub(super) fn variables(spec: &TrinoClusterSpec) -> Vec<EnvVar> {
    let secrets: BTreeMap<String, PropertySecret> = all(spec)
        .iter()
        .flat_map(|catalog| catalog.secrets.into_iter().flat_map(BTreeMap::values))
        .map(|property| (variable(&property.secret_key_ref), property.secret_key_ref.clone()))
        .collect();
    secrets
        .into_iter()
        .map(|(name, PropertySecret { name: secret, key })| EnvVar {
            name,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector { name: secret, key, optional: None }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        })
        .collect()
}

/// The name of the variable for a key of a Secret: by a digest, since names of variables know no `-` and no `.`.
fn variable(secret: &PropertySecret) -> String {
    let written = serde_json::to_value(secret).expect("two strings are JSON");
    format!("WARREN_SECRET_{}", digest(&written, 12).to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::cluster_revision;

    fn spec(yaml: &str) -> TrinoClusterSpec {
        serde_saphyr::from_str(yaml).expect("a spec")
    }

    fn catalog(name: &str, labels: &str, spec: &str) -> TrinoCatalog {
        let yaml = format!("{{metadata: {{name: {name}, labels: {labels}}}, spec: {spec}}}");
        serde_saphyr::from_str(&yaml).expect("a catalog")
    }

    const PICKING: &str =
        "{version: '476', catalogs: {inline: {tpch: {connector.name: tpch}}, selector: {matchLabels: {team: a}}}}";

    fn shop() -> TrinoCatalog {
        catalog(
            "shop",
            "{team: a}",
            "{connector: postgresql, properties: {connection-url: u}, secretProperties: {connection-password: {secretKeyRef: {name: db, key: pw}}}}",
        )
    }

    #[test]
    fn a_selector_picks_by_labels_and_what_it_picks_makes_the_revision() {
        let other = catalog("other", "{team: b}", "{connector: tpcds}");
        let resolve = |catalogs: &[TrinoCatalog]| resolve(&spec(PICKING), catalogs).expect("no conflict");
        let found = resolve(&[other.clone(), shop()]);
        let names: Vec<_> =
            all(&found).iter().map(|catalog| (catalog.name.to_owned(), catalog.origin == Origin::Inline)).collect();
        assert_eq!(names, [("tpch".to_owned(), true), ("shop".to_owned(), false)]);
        let revision = cluster_revision(&found);
        assert_eq!(cluster_revision(&resolve(&[shop()])), revision, "what is not picked does not matter");
        let mut revisions = Vec::new();
        let changes: [fn(&mut TrinoCatalog); 5] = [
            |catalog| catalog.spec.connector = "mysql".into(),
            |catalog| catalog.spec.version = Some("2".into()),
            |catalog| catalog.spec.catalog_name = Some("shop2".into()),
            |catalog| catalog.spec.secret_properties.clear(),
            |catalog| catalog.metadata.labels = None,
        ];
        for change in changes {
            let mut edited = shop();
            change(&mut edited);
            revisions.push(cluster_revision(&resolve(&[edited])));
        }
        revisions.push(revision);
        let count = revisions.len();
        revisions.sort();
        revisions.dedup();
        assert_eq!(revisions.len(), count, "each edit makes another revision");
    }

    #[test]
    fn what_changes_no_catalog_makes_no_revision() {
        let revision = |spec: &TrinoClusterSpec, catalogs: &[TrinoCatalog]| {
            cluster_revision(&resolve(spec, catalogs).expect("no conflict"))
        };
        let base = revision(&spec(PICKING), &[shop()]);
        let mut moved = shop();
        moved.metadata.name = Some("pg".into());
        moved.spec.catalog_name = Some("shop".into());
        moved.spec.paused = Some(true);
        assert_eq!(revision(&spec(PICKING), &[moved]), base, "another object, the same catalog");
        let wider = "{version: '476', catalogs: {inline: {tpch: {connector.name: tpch}}, selector: {}}}";
        assert_eq!(revision(&spec(wider), &[shop()]), base, "another selector that picks the same");
        let none = "{version: '476', catalogs: {selector: {}}}";
        assert_eq!(revision(&spec(none), &[]).as_str(), "22540423fa", "nothing is picked");
    }

    #[test]
    fn two_catalogs_of_one_name_are_refused_with_both_their_names() {
        let message =
            |catalogs: &[TrinoCatalog]| resolve(&spec(PICKING), catalogs).expect_err("a conflict").to_string();
        let double = catalog("again", "{team: a}", "{connector: mysql, catalogName: shop}");
        let said = message(&[shop(), double]);
        assert!(said.contains("TrinoCatalogs \"again\" and \"shop\", which are both the catalog \"shop\""), "{said}");
        let said = message(&[catalog("tpch", "{team: a}", "{connector: mysql}")]);
        assert!(
            said.contains("TrinoCatalog \"tpch\", which is the catalog \"tpch\" as catalogs.inline.tpch is"),
            "{said}"
        );
    }

    #[test]
    fn secrets_stand_in_the_file_by_the_names_of_variables_alone() {
        let found = resolve(&spec(PICKING), &[shop()]).expect("no conflict");
        let variables = variables(&found);
        let [EnvVar { name, value: None, value_from: Some(from) }] = variables.as_slice() else {
            panic!("{variables:?}")
        };
        let secret = from.secret_key_ref.as_ref().expect("a Secret");
        assert_eq!((secret.name.as_str(), secret.key.as_str()), ("db", "pw"));
        let file = all(&found)[1].file();
        assert_eq!(file["connection-password"], format!("${{ENV:{name}}}"));
        assert_eq!(file["connector.name"], "postgresql");
    }
}
