# Short names for scripts/*; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run test check bench playground fmt schema

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## The server on SQLite at http://127.0.0.1:8000, with its playground if npm is there
	scripts/run

test: ## Every test, on SQLite and on a private PostgreSQL and Redis
	scripts/test

check: ## Formatting, lints, licences, that schema.graphql is current and breaks no client
	scripts/check

# For instance: make bench ARGS="sends --backend postgres"
bench: ## The load generator, beside its floors; ARGS="…" goes to it
	cargo build --release --package kith --package bench
	scripts/services run target/release/bench $(ARGS)

playground: ## Builds the playground, which the next build of the server embeds
	scripts/playground

fmt: ## Formats the code
	cargo fmt --all

schema: ## Writes schema.graphql from the code
	@mkdir -p target
	cargo run --quiet -- schema > target/schema.graphql
	cp target/schema.graphql schema.graphql
