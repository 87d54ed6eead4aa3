//! `ProxyGroup`: what is refused and what is taken.

use warren::api::ProxyGroup;

use crate::table::{Accepted, Refusal, RefusedEdit, Table};

#[tokio::test]
async fn proxy_groups_are_judged_as_the_table_says() {
    TABLE.hold::<ProxyGroup>().await;
}

const TABLE: Table = Table { refused: REFUSED, refused_edits: EDITS, accepted: ACCEPTED };

const NAME: &str = "metadata.name must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-': a Service's name is made from it";

const REFUSED: &[Refusal] = &[
    Refusal { case: "no gateway", object: "spec: {replicas: 2}", field: "spec.gateway", because: "Required value" },
    Refusal {
        case: "a gateway without a name",
        object: "spec: {gateway: {}}",
        field: "spec.gateway.name",
        because: "Required value",
    },
    Refusal {
        case: "a gateway as a text",
        object: "spec: {gateway: prod}",
        field: "spec.gateway",
        because: "must be of type object: \"string\"",
    },
    Refusal {
        case: "a gateway that no gateway can be named",
        object: "spec: {gateway: {name: prod.example}}",
        field: "spec.gateway.name",
        because: "spec.gateway.name must be the name of a TrinoGateway: at most 40 characters",
    },
    Refusal {
        case: "a gateway of another namespace",
        object: "spec: {gateway: {name: prod, namespace: other}}",
        field: "",
        because: "unknown field \"spec.gateway.namespace\"",
    },
    Refusal {
        case: "a name of 41 characters",
        object: "{metadata: {name: a2345678901234567890123456789012345678901}, spec: {gateway: {name: prod}}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "a name that begins with a digit",
        object: "{metadata: {name: 1st}, spec: {gateway: {name: prod}}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "fewer than no proxies",
        object: "spec: {gateway: {name: prod}, replicas: -1}",
        field: "spec.replicas",
        because: "should be greater than or equal to 0",
    },
    Refusal {
        case: "more proxies than a group holds",
        object: "spec: {gateway: {name: prod}, replicas: 501}",
        field: "spec.replicas",
        because: "should be less than or equal to 500",
    },
    Refusal {
        case: "a wait of more than an hour for each proxy",
        object: "spec: {gateway: {name: prod}, minReadySeconds: 3601}",
        field: "spec.minReadySeconds",
        because: "should be less than or equal to 3600",
    },
    Refusal {
        case: "a node port of a Service without a type",
        object: "spec: {gateway: {name: prod}, service: {nodePort: 30080}}",
        field: "spec.service",
        because: "spec.service.nodePort needs spec.service.type NodePort or LoadBalancer; set the type or remove nodePort",
    },
    Refusal {
        case: "a node port of a Service without node ports",
        object: "spec: {gateway: {name: prod}, service: {type: ClusterIP, nodePort: 30080}}",
        field: "spec.service",
        because: "spec.service.nodePort needs spec.service.type NodePort or LoadBalancer; set the type or remove nodePort",
    },
    Refusal {
        case: "a type that no Service has",
        object: "spec: {gateway: {name: prod}, service: {type: Ingress}}",
        field: "spec.service.type",
        because: "Unsupported value: \"Ingress\": supported values: \"ClusterIP\", \"NodePort\", \"LoadBalancer\"",
    },
    Refusal {
        case: "port 0",
        object: "spec: {gateway: {name: prod}, service: {port: 0}}",
        field: "spec.service.port",
        because: "should be greater than or equal to 1",
    },
    Refusal {
        case: "a port that no socket has",
        object: "spec: {gateway: {name: prod}, service: {port: 65536}}",
        field: "spec.service.port",
        because: "should be less than or equal to 65535",
    },
    Refusal {
        case: "a node port that no socket has",
        object: "spec: {gateway: {name: prod}, service: {type: NodePort, nodePort: 65536}}",
        field: "spec.service.nodePort",
        because: "should be less than or equal to 65535",
    },
    Refusal {
        case: "an annotation of Warren's on the Service",
        object: "spec: {gateway: {name: prod}, service: {annotations: {trinowarren.io/x: any}}}",
        field: "spec.service.annotations",
        because: "spec.service.annotations: annotations under trinowarren.io/ belong to Warren; use a prefix of your own",
    },
    Refusal {
        case: "an annotation as a number",
        object: "spec: {gateway: {name: prod}, service: {annotations: {example.com/timeout: 60}}}",
        field: "spec.service.annotations.example.com/timeout",
        because: "must be of type string: \"integer\"",
    },
    Refusal {
        case: "a label of Warren's on the pods",
        object: "spec: {gateway: {name: prod}, template: {metadata: {labels: {app.kubernetes.io/component: x}}}}",
        field: "spec.template.metadata.labels",
        because: "labels under trinowarren.io/ and app.kubernetes.io/ belong to Warren; use a prefix of your own",
    },
    Refusal {
        case: "a tag and a digest",
        object: "spec: {gateway: {name: prod}, template: {spec: {image: {tag: a, digest: 'sha256:0123456789012345678901234567890123456789012345678901234567890123'}}}}",
        field: "spec.template.spec.image",
        because: "image: give tag or digest, not both: a digest already names one image",
    },
    Refusal {
        case: "memory that is no quantity",
        object: "spec: {gateway: {name: prod}, template: {spec: {resources: {memory: 256 MiB}}}}",
        field: "spec.template.spec.resources.memory",
        because: "resources.memory must be a positive quantity such as 4Gi",
    },
    Refusal {
        case: "a variable with a value and a Secret",
        object: "spec: {gateway: {name: prod}, template: {spec: {env: [{name: A, value: b, secretKeyRef: {name: c, key: d}}]}}}",
        field: "spec.template.spec.env[0]",
        because: "give each variable either value or secretKeyRef",
    },
    Refusal {
        case: "a variable that is Warren's",
        object: "spec: {gateway: {name: prod}, template: {spec: {env: [{name: POD_NAMESPACE, value: b}]}}}",
        field: "spec.template.spec.env[0].name",
        because: "spec.template.spec.env: POD_NAMESPACE belongs to Warren; remove it",
    },
    Refusal {
        case: "a drain timeout without a unit",
        object: "spec: {gateway: {name: prod}, template: {spec: {drain: {timeout: '120'}}}}",
        field: "spec.template.spec.drain.timeout",
        because: "spec.template.spec.drain.timeout must be a number and a unit, such as 90s or 2m",
    },
    Refusal {
        case: "a sleep of more than five minutes before the stop",
        object: "spec: {gateway: {name: prod}, template: {spec: {preStop: {sleepSeconds: 301}}}}",
        field: "spec.template.spec.preStop.sleepSeconds",
        because: "should be less than or equal to 300",
    },
    Refusal {
        case: "TLS without its Secret",
        object: "spec: {gateway: {name: prod}, template: {spec: {security: {tls: {client: {}}}}}}",
        field: "spec.template.spec.security.tls.client.secretRef",
        because: "Required value",
    },
    Refusal {
        case: "TLS with what no Secret can be named",
        object: "spec: {gateway: {name: prod}, template: {spec: {security: {tls: {client: {secretRef: {name: Edge_TLS}}}}}}}",
        field: "spec.template.spec.security.tls.client.secretRef.name",
        because: "secretRef.name must be the name of a Secret",
    },
    Refusal {
        case: "TLS with the certificate in the spec",
        object: "spec: {gateway: {name: prod}, template: {spec: {security: {tls: {client: {secretRef: {name: edge-tls}, certificate: x}}}}}}",
        field: "",
        because: "unknown field \"spec.template.spec.security.tls.client.certificate\"",
    },
    Refusal {
        case: "certificates of clients without their CA",
        object: "spec: {gateway: {name: prod}, template: {spec: {security: {tls: {client: {secretRef: {name: edge-tls}, clientAuth: {}}}}}}}",
        field: "spec.template.spec.security.tls.client.clientAuth.caSecretRef",
        because: "Required value",
    },
    Refusal {
        case: "certificates of clients with what no key can be named",
        object: "spec: {gateway: {name: prod}, template: {spec: {security: {tls: {client: {secretRef: {name: edge-tls}, clientAuth: {caSecretRef: {name: clients, key: a/b}}}}}}}}",
        field: "spec.template.spec.security.tls.client.clientAuth.caSecretRef.key",
        because: "caSecretRef.key must be a key of the Secret, such as ca.crt",
    },
    Refusal {
        case: "a rollout that can replace nothing",
        object: "spec: {gateway: {name: prod}, rollout: {maxSurge: 0}}",
        field: "spec.rollout",
        because: "spec.rollout: maxSurge and maxUnavailable cannot both be 0; nothing could be replaced",
    },
    Refusal {
        case: "a policy that there is not",
        object: "spec: {gateway: {name: prod}, schedulePolicies: [{type: Packed, evenlySpread: {topologies: [{topology: {key: zone}}]}}]}",
        field: "spec.schedulePolicies[0].type",
        because: "Unsupported value: \"Packed\": supported values: \"EvenlySpread\"",
    },
    Refusal {
        case: "a spread over what is no label",
        object: "spec: {gateway: {name: prod}, schedulePolicies: [{type: EvenlySpread, evenlySpread: {topologies: [{topology: {key: 'a zone'}}]}}]}",
        field: "spec.schedulePolicies[0].evenlySpread.topologies[0].topology.key",
        because: "topology.key must be the name of a label of nodes, such as topology.kubernetes.io/zone",
    },
    Refusal {
        case: "one port for clients and for administration",
        object: "spec: {gateway: {name: prod}, template: {spec: {server: {ports: {client: 9090}}}}}",
        field: "spec.template.spec.server.ports",
        because: "spec.template.spec.server.ports: client and admin must be two ports",
    },
    Refusal {
        case: "the port for events for clients",
        object: "spec: {gateway: {name: prod}, template: {spec: {server: {ports: {client: 9091}}}}}",
        field: "spec.template.spec.server.ports",
        because: "spec.template.spec.server.ports: port 9091 is the proxies' own for events of coordinators; choose another",
    },
    Refusal {
        case: "the port for events for administration",
        object: "spec: {gateway: {name: prod}, template: {spec: {server: {ports: {admin: 9091}}}}}",
        field: "spec.template.spec.server.ports",
        because: "spec.template.spec.server.ports: port 9091 is the proxies' own for events of coordinators; choose another",
    },
    Refusal {
        case: "a port that only root may have",
        object: "spec: {gateway: {name: prod}, template: {spec: {server: {ports: {client: 443}}}}}",
        field: "spec.template.spec.server.ports.client",
        because: "should be greater than or equal to 1024",
    },
    Refusal {
        case: "a probe of every instant",
        object: "spec: {gateway: {name: prod}, template: {spec: {probes: {readiness: {periodSeconds: 0}}}}}",
        field: "spec.template.spec.probes.readiness.periodSeconds",
        because: "should be greater than or equal to 1",
    },
    Refusal {
        case: "a probe of something else",
        object: "spec: {gateway: {name: prod}, template: {spec: {probes: {readiness: {httpGet: {path: /}}}}}}",
        field: "",
        because: "unknown field \"spec.template.spec.probes.readiness.httpGet\"",
    },
    Refusal {
        case: "a way of updating that there is not",
        object: "spec: {gateway: {name: prod}, template: {spec: {updateStrategy: {config: Never}}}}",
        field: "spec.template.spec.updateStrategy.config",
        because: "Unsupported value: \"Never\"",
    },
    Refusal {
        case: "settings of nothing",
        object: "spec: {gateway: {name: prod}, template: {spec: {config: ''}}}",
        field: "spec.template.spec.config",
        because: "should be at least 1 chars long",
    },
    Refusal {
        case: "a volume with the name of Warren's own",
        object: "spec: {gateway: {name: prod}, template: {spec: {volumes: [{name: routing, mountPath: /a, source: {emptyDir: {}}}]}}}",
        field: "spec.template.spec.volumes[0].name",
        because: "a volume of that name is Warren's own; choose another",
    },
    Refusal {
        case: "a volume over what is Warren's own",
        object: "spec: {gateway: {name: prod}, template: {spec: {volumes: [{name: a, mountPath: /etc/warren/routing, source: {emptyDir: {}}}]}}}",
        field: "spec.template.spec.volumes[0].mountPath",
        because: "mountPath must be an absolute path, and not below /etc/warren, which is Warren's own",
    },
    Refusal {
        case: "a volume of two sources",
        object: "spec: {gateway: {name: prod}, template: {spec: {volumes: [{name: a, mountPath: /a, source: {emptyDir: {}, secret: {secretName: b}}}]}}}",
        field: "spec.template.spec.volumes[0].source",
        because: "must have at most 1 item",
    },
    Refusal {
        case: "groups by labels that are none",
        object: "spec: {gateway: {name: prod}, groups: {selector: {matchLabels: {}}}}",
        field: "spec.groups.selector.matchLabels",
        because: "must name at least one label",
    },
    Refusal {
        case: "an unknown field in the pods",
        object: "spec: {gateway: {name: prod}, template: {spec: {containers: []}}}",
        field: "",
        because: "unknown field \"spec.template.spec.containers\"",
    },
];

const EDITS: &[RefusedEdit] = &[
    RefusedEdit {
        case: "another gateway",
        before: "spec: {paused: true, gateway: {name: prod}}",
        after: "spec: {paused: true, gateway: {name: test}}",
        field: "spec.gateway.name",
        because: "spec.gateway.name cannot be changed; make a new ProxyGroup for the other gateway",
    },
    RefusedEdit {
        case: "a Service that loses its type and keeps its node port",
        before: "spec: {paused: true, gateway: {name: prod}, service: {type: NodePort, nodePort: 30080}}",
        after: "spec: {paused: true, gateway: {name: prod}, service: {nodePort: 30080}}",
        field: "spec.service",
        because: "set the type or remove nodePort",
    },
];

const ACCEPTED: &[Accepted] = &[
    Accepted { case: "the least", object: "spec: {gateway: {name: prod}}" },
    Accepted {
        case: "a name of 40 characters",
        object: "{metadata: {name: a234567890123456789012345678901234567890}, spec: {gateway: {name: prod}}}",
    },
    Accepted { case: "no proxies", object: "spec: {gateway: {name: prod}, replicas: 0}" },
    Accepted {
        case: "the largest numbers",
        object: "spec: {gateway: {name: prod}, replicas: 500, minReadySeconds: 3600, service: {type: LoadBalancer, port: 65535, nodePort: 65535}, template: {spec: {preStop: {sleepSeconds: 300}, drain: {timeout: 999999h}}}}",
    },
    Accepted {
        case: "all of it",
        object: "
spec:
  paused: false
  gateway: {name: prod}
  replicas: 3
  minReadySeconds: 10
  rollout: {maxSurge: 0, maxUnavailable: 1}
  schedulePolicies: [{type: EvenlySpread, evenlySpread: {topologies: [{topology: {key: topology.kubernetes.io/zone}, maxSkew: 2, whenUnsatisfiable: DoNotSchedule}]}}]
  groups: {names: [adhoc]}
  service: {type: NodePort, port: 80, nodePort: 30080, annotations: {service.example.com/kind: 'internal, slow'}}
  template:
    metadata: {labels: {team: bi}, annotations: {example.com/scrape: 'true'}}
    spec:
      image: {repository: registry.example.com/warren, tag: 0.1.0}
      resources: {cpu: 100m, memory: 256Mi}
      preStop: {sleepSeconds: 0}
      drain: {timeout: 90s}
      server: {ports: {client: 8443, admin: 9443}}
      probes: {readiness: {periodSeconds: 2}, liveness: {failureThreshold: 3}}
      updateStrategy: {config: Restart}
      config: 'threads: 2'
      volumes: [{name: a, mountPath: /etc/tracing, readOnly: false, source: {persistentVolumeClaim: {claimName: b}}}]
      security: {tls: {client: {secretRef: {name: edge-tls}, clientAuth: {caSecretRef: {name: clients.example, key: roots.pem}}}}}
",
    },
];
