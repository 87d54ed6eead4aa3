#!/usr/bin/env bash
# Resident memory of the operator with 50 clusters' worth of objects (their pods are not admitted: a quota sees to it), and
# of an idle proxy. In MiB, as the kernel counts them for the process.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
NAMESPACE=bench-memory
CLUSTERS=${CLUSTERS:-50}

[ "${WARREN_CLUSTER_KIND:-}" = node ] || die "this reads the memory of processes on this machine: it needs the local node"
trap 'kubectl delete namespace "$NAMESPACE" --ignore-not-found --wait=false >/dev/null' EXIT

made() { [ "$(kubectl -n "$NAMESPACE" get deployments -l app.kubernetes.io/component=worker -o name | wc -l)" -ge "$CLUSTERS" ]; }

kubectl delete namespace "$NAMESPACE" --ignore-not-found >/dev/null
kubectl create namespace "$NAMESPACE" >/dev/null
info "operator before: $(resident operator) MiB"
kubectl apply -f - >/dev/null <<Y
apiVersion: trinowarren.io/v1alpha1
kind: TrinoGateway
metadata: {name: idle, namespace: $NAMESPACE}
spec: {routing: {default: {group: many}}}
---
apiVersion: trinowarren.io/v1alpha1
kind: ProxyGroup
metadata: {name: idle, namespace: $NAMESPACE}
spec: {gateway: {name: idle}, replicas: 1}
Y
kubectl -n "$NAMESPACE" wait deployment/idle-proxy --for=condition=Available --timeout=120s >/dev/null 2>&1 ||
  { sleep 5; kubectl -n "$NAMESPACE" wait deployment/idle-proxy --for=condition=Available --timeout=120s >/dev/null; }
sleep 10
echo "memory: an idle proxy $(resident proxy) MiB (at most 24 is the aim)"
kubectl -n "$NAMESPACE" create quota none --hard=pods=1 >/dev/null
kubectl apply -f - >/dev/null <<Y
apiVersion: trinowarren.io/v1alpha1
kind: TrinoClusterGroup
metadata: {name: many, namespace: $NAMESPACE}
spec: {replicas: $CLUSTERS, template: {spec: {version: "476", workers: {replicas: 3}, catalogs: {inline: {tpch: {connector.name: tpch}, tpcds: {connector.name: tpcds}}}}}}
Y
wait_for "the objects of $CLUSTERS clusters" 300 made
sleep 20
echo "memory: the operator with $CLUSTERS clusters' objects $(resident operator) MiB (at most 64 is the aim)"
