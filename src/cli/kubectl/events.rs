//! `event-listener`: what the coordinator of an external cluster needs to tell the gateway of its queries, ready to be copied.

use anyhow::{Context as _, anyhow, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    api::{TrinoCluster, TrinoClusterGroup, TrinoGateway},
    desired::{
        cluster::{EVENT_TOKEN_ENV, EVENT_TOKEN_KEY, event_listener as listener},
        gateway::{external_events_name, selects, takes_events},
    },
    trino::properties,
};

/// What stands for the gateway's address where it is not in `externalUrl`.
const NO_ADDRESS: &str = "https://<address of the gateway>";

/// The files and commands for the external cluster `cluster`.
///
/// # Errors
/// When no group has it, no gateway serves it, or the API server does not answer.
pub async fn event_listener(client: &Client, namespace: &str, cluster: &str) -> anyhow::Result<String> {
    let clusters = Api::<TrinoCluster>::namespaced(client.clone(), namespace);
    let made = clusters.get_opt(cluster).await.with_context(|| format!("cannot read TrinoCluster {cluster:?}"))?;
    if let Some(made) = made {
        return Ok(words_of_made(&made));
    }
    let groups = Api::<TrinoClusterGroup>::namespaced(client.clone(), namespace).list(&ListParams::default()).await;
    let groups = groups.context("cannot list the TrinoClusterGroups")?.items;
    let has = |group: &TrinoClusterGroup| group.spec.external.iter().any(|external| external.name == cluster);
    let group = groups.into_iter().find(has).ok_or_else(|| {
        anyhow!("no TrinoClusterGroup in namespace {namespace:?} has an external cluster {cluster:?}, and no TrinoCluster has that name")
    })?;
    let gateways = Api::<TrinoGateway>::namespaced(client.clone(), namespace).list(&ListParams::default()).await;
    let gateways = gateways.context("cannot list the TrinoGateways")?.items;
    let serves = |gateway: &&TrinoGateway| {
        selects(gateway.spec.groups.as_ref(), &group.name_any(), group.metadata.labels.as_ref())
            && takes_events(&gateway.spec)
    };
    let gateway = gateways.iter().find(serves).ok_or_else(|| {
        anyhow!(
            "no TrinoGateway serves TrinoClusterGroup {:?} and takes events; see spec.groups and spec.eventListener",
            group.name_any()
        )
    })?;
    let secret = external_events_name(&group.name_any(), cluster);
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    if secrets.get_metadata_opt(&secret).await.is_ok_and(|found| found.is_none()) {
        bail!("Secret {secret:?}, which holds the token, is not there yet; is the operator running?");
    }
    Ok(snippet(gateway, namespace, cluster, &secret))
}

fn words_of_made(cluster: &TrinoCluster) -> String {
    let name = cluster.name_any();
    if cluster.status.as_ref().is_some_and(|status| status.event_token.is_some()) {
        return format!("trinocluster/{name} tells its gateway by itself; there is nothing to do\n");
    }
    format!(
        "trinocluster/{name} does not tell: it was made by hand, says eventListener: {{enabled: false}}, or an earlier version \
         of Warren rendered it, and it begins to with its next revision\n"
    )
}

fn snippet(gateway: &TrinoGateway, namespace: &str, cluster: &str, secret: &str) -> String {
    let url = gateway.spec.external_url.as_deref().unwrap_or(NO_ADDRESS);
    let file = properties::render(&listener(url));
    format!(
        "# etc/event-listener.properties of the coordinator of {cluster}. Where it has one already, give this another name, and list\n\
         # both in etc/config.properties: event-listener.config-files=etc/event-listener.properties,etc/warren.properties\n\
         {file}\
         \n\
         # Behind a certificate that Java does not trust, with its CA in a key store of the type PKCS12:\n\
         # http-event-listener.http-client.trust-store-path=etc/gateway-ca.p12\n\
         # http-event-listener.http-client.trust-store-password=${{ENV:GATEWAY_CA_PASSWORD}}\n\
         \n\
         # In the environment of the coordinator, by whatever keeps its secrets:\n\
         # export {EVENT_TOKEN_ENV}=\"$(kubectl -n {namespace} get secret {secret} -o jsonpath='{{.data.{EVENT_TOKEN_KEY}}}' | base64 -d)\"\n\
         # Then restart it: Trino reads both at its start. Trino 470 to 476 write the headers that they send, with the token in\n\
         # them, into their log when they start; it lets its bearer tell of queries of {cluster}, and nothing else.\n"
    )
}
