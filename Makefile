# `make` alone lists what there is.
.DEFAULT_GOAL := help
.PHONY: help run test check bench playground fmt schema

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The dev profile: it compiles in about half the time of the release one, and hashing passwords, the one thing that is too
# slow without optimisation, is optimised in it anyway (Cargo.toml).
run: ## The server on SQLite at http://127.0.0.1:8000, with its playground if Node is there
	@if [ ! -e playground/dist/index.html ]; then \
	  if command -v npm >/dev/null; then $(MAKE) --no-print-directory playground; \
	  else echo 'No npm: the server runs without its playground.'; fi; \
	fi
	cargo run -- serve

test: ## Every test, on SQLite and on a private PostgreSQL and Redis
	scripts/test

check: ## Formatting, lints, licences, and that schema.graphql is current
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; \
	else echo 'cargo-deny is not installed: licences, bans and sources are not checked.'; fi
	@mkdir -p target
	cargo run --quiet --locked -- schema > target/schema.graphql
	@diff -u schema.graphql target/schema.graphql || { echo 'schema.graphql is not current: make schema'; exit 1; }

# For instance: make bench ARGS="sends --backend postgres"
bench: ## The load generator, beside its floors; ARGS="…" goes to it
	cargo build --release --package kith --package bench
	scripts/services run cargo run --release --package bench -- $(ARGS)

playground: ## Builds the playground, which the next build of the server embeds
	cd playground && npm ci --no-fund --no-audit && npm run build

fmt: ## Formats the code
	cargo fmt --all

schema: ## Writes schema.graphql from the code
	@mkdir -p target
	cargo run --quiet -- schema > target/schema.graphql
	cp target/schema.graphql schema.graphql
