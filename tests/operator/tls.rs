//! Certificates: made by Warren's own CA, renewed in time and in an order in which nobody refuses anybody, and looked at where
//! somebody else keeps them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use time::OffsetDateTime;
use warren::desired::certificate::{Certificate, fault};

use crate::{
    Operator, condition, make_ready, object, quickstart, running, scene::Scene, server::Server, table,
    until_deployments, until_ready,
};

const HOUR: u64 = 3600;

/// The quickstart whose cluster speaks TLS.
async fn secure(tls: &Value) -> (Server, Operator, String) {
    let server = Server::new();
    secure_at(&server, tls).await
}

async fn secure_at(server: &Server, tls: &Value) -> (Server, Operator, String) {
    quickstart(server);
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["template"]["spec"]["tls"] = tls.clone());
    let operator = Operator::start_in(&Scene::default(), server, "warren:1");
    until_deployments(server, 3).await;
    make_ready(server, "");
    for (plural, name) in [("trinoclustergroups", "adhoc"), ("trinogateways", "gw"), ("proxygroups", "edge")] {
        until_ready(server, plural, name).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let cluster = server.names("trinoclusters").remove(0);
    (server.clone(), operator, cluster)
}

fn text(server: &Server, secret: &str, key: &str) -> String {
    let secret: Secret = serde_json::from_value(server.get("secrets", secret).expect("there")).expect("a Secret");
    String::from_utf8(secret.data.expect("data")[key].0.clone()).expect("PEM")
}

fn served(server: &Server, secret: &str) -> Certificate {
    Certificate::read(&text(server, secret, "tls.crt")).expect("a certificate")
}

/// What the table's proxies trust of the one cluster in it.
fn trusted(server: &Server) -> String {
    let table = table(server);
    let digest = table["groups"][0]["clusters"][0]["ca"].as_str().expect("a CA");
    table["certificates"][digest].as_str().expect("PEM").to_owned()
}

fn workloads(server: &Server) -> Vec<Value> {
    server
        .names("deployments")
        .iter()
        .map(|name| server.get("deployments", name).expect("there")["spec"].clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_reached_by_https_with_certificates_of_the_namespaces_ca_whose_keys_are_in_secrets_alone() {
    let (server, operator, cluster) =
        secure(&json!({"server": {"enabled": true}, "internal": {"enabled": true}})).await;
    let url = format!("https://{cluster}-coordinator.trino.svc:8443");
    assert_eq!(table(&server)["groups"][0]["clusters"][0]["url"], url);
    assert_eq!(trusted(&server), text(&server, "warren-ca", "ca.crt"));
    for component in ["coordinator", "worker"] {
        let secret = format!("{cluster}-{component}-tls");
        let (chain, name) = (text(&server, &secret, "tls.crt"), format!("{cluster}-{component}.trino.svc"));
        assert_eq!(fault(&chain, &trusted(&server), &name, server.now()), None);
        assert_eq!(text(&server, &secret, "tls-combined.pem"), text(&server, &secret, "tls.key") + &chain);
    }
    let status = &server.get("trinoclusters", &cluster).expect("there")["status"]["tls"]["server"];
    assert_eq!(status["serial"], served(&server, &format!("{cluster}-coordinator-tls")).serial);
    for ((plural, name), object) in server.objects() {
        assert!(plural == "secrets" || !object.to_string().contains("PRIVATE"), "{plural} {name}");
    }
    assert!(!server.notes().concat().contains("PRIVATE"));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_nothing_else_changes() {
    let (server, operator, cluster) = secure(&json!({"server": {"enabled": true, "duration": "90m"}})).await;
    let secret = format!("{cluster}-coordinator-tls");
    let (before, pods, ca) = (served(&server, &secret), workloads(&server), trusted(&server));
    tokio::time::sleep(Duration::from_secs(58 * 60)).await;
    assert_eq!(served(&server, &secret), before, "not before its time");
    let writes = server.writes().len();
    tokio::time::sleep(Duration::from_secs(4 * 60)).await;
    let after = served(&server, &secret);
    assert_ne!(after.serial, before.serial);
    assert_eq!(after.issuer, before.issuer);
    assert_eq!((workloads(&server), trusted(&server)), (pods, ca));
    let expected = [format!("PUT secrets/{secret}"), format!("PUT trinoclusters/{cluster}/status")];
    assert_eq!(server.writes()[writes..], expected);
    // One that somebody deletes or spoils is made anew.
    server.delete("secrets", &secret);
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    assert_ne!(served(&server, &secret).serial, after.serial);
    server.edit("secrets", &secret, |secret| secret["data"]["tls.crt"] = json!(ByteString(b"spoilt".to_vec())));
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    assert_eq!(served(&server, &secret).issuer, before.issuer);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_ca_is_trusted_before_it_signs_and_the_old_one_until_it_ends() {
    let server = Server::new();
    let now = server.now();
    // Made 4 h less 10 min ago, for 6 h.
    server.put("secrets", authority(&Ca::new("old", now, -230 * 60, 130 * 60)));
    let (server, operator, cluster) = secure_at(&server, &json!({"server": {"enabled": true}})).await;
    let secret = format!("{cluster}-coordinator-tls");
    let (first, pods) = (served(&server, &secret), workloads(&server));
    assert_eq!(first.issuer, "CN=old");
    let name = format!("{cluster}-coordinator.trino.svc");
    let mut before = trusted(&server);
    let (mut bundles, mut issuers) = (vec![1], vec![first.issuer.clone()]);
    for _ in 0..(3 * 60) {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let (chain, after) = (text(&server, &secret, "tls.crt"), trusted(&server));
        for ca in [&before, &after] {
            assert_eq!(fault(&chain, ca, &name, server.now()), None, "who is a minute behind refuses nothing");
        }
        assert_eq!(text(&server, &secret, "ca.crt"), after);
        bundles.push(after.matches("BEGIN").count());
        issuers.push(served(&server, &secret).issuer);
        before = after;
    }
    bundles.dedup();
    issuers.dedup();
    assert_eq!((bundles, issuers.len()), (vec![1, 2, 1], 2));
    assert_eq!(workloads(&server), pods);
    operator.stop().await;
}

/// A coordinator reads what it trusts once: what the proxies show it is of the CA that it knew at its start, as long as that can be.
#[tokio::test(start_paused = true)]
async fn proxies_show_coordinators_a_certificate_of_the_oldest_ca_that_lasts() {
    let server = Server::new();
    let now = server.now();
    // Made 4 h less 10 min ago, for 6 h.
    server.put("secrets", authority(&Ca::new("old", now, -230 * 60, 130 * 60)));
    let (server, operator, cluster) = secure_at(&server, &json!({})).await;
    let secret = "edge-proxy-events-tls";
    let (pods, known) = (workloads(&server), text(&server, "warren-ca", "ca.crt"));
    let coordinator = &server.get("deployments", &format!("{cluster}-coordinator")).expect("there")["spec"]["template"];
    let volumes = coordinator["spec"]["volumes"].as_array().expect("volumes");
    let trusts = volumes.iter().find(|volume| volume["name"] == "events-ca").expect("a volume");
    assert_eq!(trusts["secret"]["items"], json!([{"key": "ca.crt", "path": "ca.crt"}]), "no key of the CA");
    let proxies = server.get("deployments", "edge-proxy").expect("there")["spec"]["template"].to_string();
    assert!(proxies.contains(secret) && proxies.contains("/etc/warren/events-tls/tls.crt"), "{proxies}");
    let parsed = |server: &Server| {
        let chain = text(server, secret, "tls.crt");
        let (_, pem) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).expect("PEM");
        let certificate = pem.parse_x509().expect("a certificate");
        let names = certificate.subject_alternative_name().expect("readable").expect("names");
        format!("{:?}", names.value.general_names)
    };
    assert_eq!(parsed(&server), r#"[DNSName("edge-proxy.trino.svc"), DNSName("*-events.trino.svc")]"#);
    let last = now.checked_add(Duration::from_secs((130 - 18) * 60)).expect("in range");
    while server.now() < last {
        let chain = text(&server, secret, "tls.crt");
        assert_eq!(fault(&chain, &known, "edge-proxy.trino.svc", server.now()), None, "{}", server.now());
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(text(&server, "warren-ca", "ca.crt").matches("BEGIN").count(), 2, "there is a new one meanwhile");
    tokio::time::sleep(Duration::from_secs(30 * 60)).await;
    assert_ne!(served(&server, secret).issuer, "CN=old");
    let status = server.get("proxygroups", "edge").expect("there")["status"].clone();
    assert_eq!(status["eventsCertificate"]["serial"], served(&server, secret).serial);
    assert_eq!(workloads(&server), pods, "nothing restarts");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_operators_make_one_ca_and_do_not_undo_what_the_other_does() {
    let server = Server::new();
    let other = Operator::start(&server, "warren:1");
    let tls = json!({"server": {"enabled": true, "duration": "90m"}, "internal": {"enabled": true}});
    let (server, operator, cluster) = secure_at(&server, &tls).await;
    tokio::time::sleep(Duration::from_secs(6 * HOUR)).await;
    let keys = server.get("secrets", "warren-ca").expect("there")["data"].clone();
    assert_eq!(keys.as_object().expect("data").keys().filter(|key| key.strip_suffix(".key").is_some()).count(), 1);
    let chain = text(&server, &format!("{cluster}-coordinator-tls"), "tls.crt");
    let name = format!("{cluster}-coordinator.trino.svc");
    assert_eq!(fault(&chain, &trusted(&server), &name, server.now()), None);
    operator.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_certificate_that_somebody_keeps_is_told_and_mended_by_the_secret_alone() {
    let server = Server::new();
    let operator = Operator::start(&server, "warren:1");
    let tls = json!({"server": {"enabled": true, "secretRef": {"name": "kept"}}});
    server.put("trinoclusters", object("TrinoCluster", "mine", &json!({"version": "476", "tls": tls})));
    until_deployments(&server, 2).await;
    make_ready(&server, "mine");
    let told = async |words: &str| {
        let stalled = |server: &Server| {
            let (status, reason, message) = condition(&server.get("trinoclusters", "mine")?, "Stalled")?;
            (status == "True" && reason == "CertificateInvalid" && message.contains(words)).then_some(())
        };
        server.until(words, stalled).await;
    };
    told("spec.tls.server.secretRef: there is no Secret").await;
    let name = "mine-coordinator.trino.svc";
    let ca = Ca::new("corporate", server.now(), -60, 100_000);
    server.put("secrets", ca.kept(server.now(), "elsewhere.trino.svc", 3600, &ca));
    told("not valid for name").await;
    server.put("secrets", ca.kept(server.now(), name, -1, &ca));
    told("expired").await;
    server.put("secrets", ca.kept(server.now(), name, 3600, &Ca::new("another", server.now(), -60, 100_000)));
    told("UnknownIssuer").await;
    server.put("secrets", ca.kept(server.now(), name, 3600, &ca));
    until_ready(&server, "trinoclusters", "mine").await;
    let ends = |server: &Server| server.get("trinoclusters", "mine").expect("there")["status"]["tls"]["server"].clone();
    assert_eq!((ends(&server)["issuer"].as_str(), ends(&server).get("renewAt")), (Some("CN=corporate"), None));
    // It ends while it serves: that is told, and what it is trusted by stays.
    tokio::time::sleep(Duration::from_secs(HOUR)).await;
    told("expired").await;
    assert_eq!(condition(&server.get("trinoclusters", "mine").expect("there"), "Ready").expect("told").0, "True");
    assert_eq!(ends(&server)["issuer"], "CN=corporate");
    server.put("secrets", ca.kept(server.now(), name, 3600, &ca));
    let mended = |server: &Server| {
        condition(&server.get("trinoclusters", "mine")?, "Stalled").filter(|(status, ..)| status == "False").map(|_| ())
    };
    server.until("mended", mended).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn cert_manager_is_asked_what_it_says_is_told_and_its_certificate_goes_before_its_secret() {
    let server = Server::new();
    let operator = Operator::start(&server, "warren:1");
    let tls = json!({"server": {"enabled": true, "certManager": {"issuerRef": {"name": "corporate"}}}});
    server.put("trinoclusters", object("TrinoCluster", "mine", &json!({"version": "476", "tls": tls})));
    until_deployments(&server, 2).await;
    let told = async |words: &str| {
        let stalled = |server: &Server| {
            let (status, reason, message) = condition(&server.get("trinoclusters", "mine")?, "Stalled")?;
            let field = "spec.tls.server.certManager: there is no Secret \"mine-coordinator-tls\"";
            (status == "True"
                && reason == "CertificateInvalid"
                && message.starts_with(field)
                && message.contains(words))
            .then_some(())
        };
        server.until(words, stalled).await;
    };
    let without = |server: &Server| {
        let (.., message) = condition(&server.get("trinoclusters", "mine")?, "Stalled")?;
        message.contains("spec.tls.server.certManager: the API server does not know").then_some(())
    };
    server.until("cert-manager is missing", without).await;
    server.set_cert_manager(true);
    told("cert-manager has said nothing of its Certificate").await;
    let (name, dns) = ("mine-coordinator-tls", "mine-coordinator.trino.svc");
    server.edit("certificates", name, |certificate| {
        assert_eq!(certificate["spec"]["dnsNames"][0], dns);
        certificate["status"] =
            json!({"conditions": [{"type": "Ready", "status": "False", "message": "it is asked for"}]});
    });
    told("it is asked for. See whether Issuer \"corporate\" of issuerRef is there and ready").await;
    let applied = || server.writes().iter().filter(|write| write.contains("certificates")).count();
    let before = applied();

    let ca = Ca::new("corporate", server.now(), -60, 100_000);
    let mut made = ca.kept(server.now(), dns, 36_000, &ca);
    made["metadata"] = json!({"name": name, "namespace": "trino",
        "labels": server.get("certificates", name).expect("there")["spec"]["secretTemplate"]["labels"]});
    server.put("secrets", made);
    make_ready(&server, "mine");
    until_ready(&server, "trinoclusters", "mine").await;
    assert_eq!(applied(), before, "nothing is applied again");

    server.edit("trinoclusters", "mine", |cluster| {
        cluster["metadata"]["annotations"] = json!({"trinowarren.io/force-removal": "true"});
    });
    server.delete("trinoclusters", "mine");
    let gone = |server: &Server| server.get("trinoclusters", "mine").is_none().then_some(());
    server.until("it is gone", gone).await;
    assert_eq!((server.get("certificates", name), server.get("secrets", name)), (None, None));
    let at = |what: &str| server.writes().iter().position(|write| write.starts_with("DELETE") && write.contains(what));
    assert!(at("certificates/mine") < at("secrets/mine-coordinator-tls"), "{:#?}", server.writes());
    operator.stop().await;
}

/// A CA that somebody made.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn time(timestamp: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(timestamp.as_second()).expect("in range")
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(now.as_second() + seconds).expect("in range")
}

impl Ca {
    /// Valid from and until so many seconds from now.
    fn new(name: &str, now: Timestamp, from: i64, until: i64) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = time(after(now, from - 300));
        params.not_after = time(after(now, until));
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA") }
    }

    /// A Secret with a certificate of this CA, and `shown` as what it is trusted by.
    fn kept(&self, now: Timestamp, name: &str, until: i64, shown: &Self) -> Value {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = time(after(now, -7200));
        params.not_after = time(after(now, until));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let combined = key.serialize_pem() + &certificate;
        secret("kept", &[("ca.crt", &shown.issuer.pem()), ("tls.crt", &certificate), ("tls-combined.pem", &combined)])
    }
}

/// The Secret of Warren's own CA, as Warren would have made it.
fn authority(ca: &Ca) -> Value {
    let pem = ca.issuer.pem();
    let key = ca.issuer.key().serialize_pem();
    let mut secret = secret("warren-ca", &[("ca.crt", &pem), ("0001.crt", &pem), ("0001.key", &key)]);
    secret["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "warren"});
    secret
}

fn secret(name: &str, data: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<_, _> =
        data.iter().map(|(key, text)| ((*key).to_owned(), json!(ByteString(text.as_bytes().to_vec())))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "trino"}, "data": data})
}

#[tokio::test(start_paused = true)]
async fn the_admin_port_of_proxies_is_asked_by_https_and_renewed_without_a_restart() {
    let (server, operator) = running("warren:1").await;
    server.edit("proxygroups", "edge", |proxies| {
        proxies["spec"]["template"] =
            json!({"spec": {"config": "polls: {tries: 3}", "security": {"tls": {"admin": {"enabled": true}}}}});
    });
    let secure = |server: &Server| {
        let container = &server.get("deployments", "edge-proxy")?["spec"]["template"]["spec"]["containers"][0];
        let probe = &container["readinessProbe"]["httpGet"];
        let flag = "--admin-tls-cert=/etc/warren/admin-tls/tls.crt";
        (probe["scheme"] == "HTTPS" && container["args"].to_string().contains(flag)).then_some(())
    };
    server.until("the admin port speaks HTTPS", secure).await;
    let secret = "edge-proxy-admin-tls";
    let (chain, ca) = (text(&server, secret, "tls.crt"), text(&server, "warren-ca", "ca.crt"));
    assert_eq!(fault(&chain, &ca, "edge-proxy.trino.svc", server.now()), None);
    make_ready(&server, "edge");
    // By what their proxies say, whom the operator believes by that certificate alone.
    let applied = |server: &Server| {
        condition(&server.get("proxygroups", "edge")?, "ConfigAccepted").filter(|(status, ..)| status == "True")
    };
    server.until("the proxies are believed", applied).await;
    let status = |server: &Server| server.get("proxygroups", "edge").expect("there")["status"].clone();
    assert_eq!(status(&server)["adminCertificate"]["serial"], served(&server, secret).serial);
    for ((plural, name), object) in server.objects() {
        assert!(plural == "secrets" || !object.to_string().contains("PRIVATE"), "{plural} {name}");
    }
    let (first, before) = (served(&server, secret).serial, workloads(&server));
    server.delete("secrets", secret);
    let renewed = |server: &Server| server.get("secrets", secret).filter(|_| served(server, secret).serial != first);
    server.until("it is renewed", renewed).await;
    tokio::time::sleep(Duration::from_secs(HOUR)).await;
    assert_eq!(workloads(&server), before, "nothing restarts");
    assert!(applied(&server).is_some());

    server.edit("proxygroups", "edge", |proxies| proxies["spec"]["template"] = json!({}));
    server.until("plain HTTP again", |server| secure(server).is_none().then_some(())).await;
    make_ready(&server, "edge");
    until_ready(&server, "proxygroups", "edge").await;
    let gone = |server: &Server| (server.get("secrets", secret).is_none()).then_some(());
    server.until("its certificate is gone", gone).await;
    let untold = |server: &Server| status(server)["adminCertificate"].is_null().then_some(());
    server.until("its status is gone", untold).await;
    operator.stop().await;
}
