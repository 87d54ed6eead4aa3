# One target per thing that people do here; each is one line into hack/ or cargo. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help node node-down images install demo test test-clients soak lint generate bench fuzz clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

node: ## start a real Kubernetes node on this machine (Linux, root), or choose the cluster at hand
	@hack/cluster.sh

node-down: ## remove the local node, and all that runs on it
	@hack/node.sh down

images: ## build the images: the node's own, Trino's, Warren's
	@hack/images.sh all

install: ## install this tree's operator into the cluster at hand
	@hack/install.sh

demo: ## from nothing to a query's rows, with the quickstart example
	@hack/demo.sh

test: ## all tests; parts: hack/test.sh SECTION…
	@hack/test.sh

test-clients: ## real clients of Trino through the gateway; parts: hack/clients.sh NAME…
	@hack/clients.sh

soak: ## trials under load that take too long for the tests; parts: hack/etc.sh, hack/soak.sh NAME…, hack/upgrade.sh, hack/rotations.sh, hack/trials.sh NAME…
	@hack/etc.sh && hack/soak.sh && hack/upgrade.sh && hack/rotations.sh && hack/trials.sh

lint: ## all static checks; parts: hack/lint.sh NAME…
	@hack/lint.sh

generate: ## write crds/ and docs/api.md from the types, the chart's copies, and the chart's goldens
	cargo run --quiet --locked -- crds --output crds
	cp crds/*.yaml deploy/helm/warren/files/crds/
	UPDATE=1 cargo test --quiet --locked --test crds
	hack/lint.sh --update

bench: ## measurements side by side: gateway, start, memory, scale, rest
	@hack/bench.sh

fuzz: ## hostile input for the parsers, 5 min each; parts: hack/fuzz.sh SECONDS TARGET…
	@hack/fuzz.sh

clean: ## remove what was built here; the cache of tools and images stays
	cargo clean
