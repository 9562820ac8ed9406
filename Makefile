# Drumlin: what can be done here. `make help` lists it.

CARGO  ?= cargo
# What `make quickstart` backs up; by default this project's own folder.
FOLDER ?= $(CURDIR)
# Seconds per target of `make fuzz-smoke`.
FUZZ_SECONDS ?= 15

.PHONY: help build fuzz-check quickstart test damage-long model-long kill-long losses-long oracle-long mutants pure-mutants fleet-long simulate-long adversary-long scale-long mount-long soak-long odd-long apps-long ci doc features lint bench bench-dumps bench-apps bench-stages fuzz-smoke clean

help:           ## Lists the targets.
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

build:          ## Builds the release binary, target/release/drumlin.
	$(CARGO) build --release --locked

quickstart: build ## A real first backup, a change, a second backup, one file restored, all checked (FOLDER=...).
	@DRUMLIN="$${CARGO_TARGET_DIR:-target}/release/drumlin" FOLDER="$(FOLDER)" sh scripts/quickstart.sh

test:           ## Installs what the tests need, runs them all, ends with the runner's summary.
	@scripts/test-deps.sh
	$(CARGO) test --locked --doc --quiet
	$(CARGO) nextest run --locked --no-fail-fast

damage-long:    ## The damage tests with 10,000 random flips instead of 1,000.
	DRUMLIN_DAMAGE_FLIPS=10000 $(CARGO) nextest run --locked --no-capture damage::random_places

model-long:     ## The exhaustive model of commit and collection in its larger configurations.
	DRUMLIN_MODEL_LONG=1 $(CARGO) nextest run --locked --profile long --no-capture model::

kill-long:      ## 2,000 kills of real processes, 200 on an SFTP and on an S3 server; eight backups and two collectors for ten minutes.
	DRUMLIN_KILLS=2000 DRUMLIN_PARALLEL_SECONDS=600 $(CARGO) nextest run --locked --profile long --no-capture kill::

losses-long:    ## 10,000 histories with losses and repairs (DRUMLIN_LOSSES=); deaths at all calls, those of probes too.
	DRUMLIN_LOSSES=$${DRUMLIN_LOSSES:-10000} DRUMLIN_CRASH_PROBES=1 \
	$(CARGO) nextest run --locked --profile long --cargo-profile simulate --no-capture losses:: crash::

oracle-long:    ## 10,000 random histories and a million decisions of retention against plain models (DRUMLIN_ORACLE_HISTORIES=, DRUMLIN_ORACLE_CASES=).
	DRUMLIN_ORACLE_HISTORIES=$${DRUMLIN_ORACLE_HISTORIES:-10000} DRUMLIN_ORACLE_CASES=$${DRUMLIN_ORACLE_CASES:-100000} \
	$(CARGO) nextest run --locked --profile long --cargo-profile simulate --no-fail-fast --success-output final \
	oracle::every_fourth retention::a_second_implementation

pure-mutants:   ## cargo-mutants on the pure code (MUTANTS="--file src/retention/rules.rs"); some hours for all of it.
	scripts/pure_mutants.py $(MUTANTS)

mutants:        ## Plants faults in a copy of the tree (scripts/mutants.toml) and demands that tests find each (MUTANTS="words of names").
	scripts/mutants.py $(MUTANTS)

fleet-long:     ## Twenty clients and two collectors in one bucket for ten minutes, beside plain uploads (DRUMLIN_FLEET_LINE=0: no slow line).
	DRUMLIN_FLEET_SECONDS=$${DRUMLIN_FLEET_SECONDS:-600} DRUMLIN_FLEET_CLIENTS=$${DRUMLIN_FLEET_CLIENTS:-20} \
	DRUMLIN_FLEET_COLLECTORS=$${DRUMLIN_FLEET_COLLECTORS:-2} DRUMLIN_FLEET_LINE=$${DRUMLIN_FLEET_LINE:-10000000} \
	$(CARGO) nextest run --locked --profile long --cargo-profile simulate --no-capture fleet::

simulate-long:  ## A million simulated histories of the commit and collection protocol, optimised (SEEDS=, FIRST=, DRUMLIN_HARSH=1).
	DRUMLIN_SEEDS=$${SEEDS:-1000000} DRUMLIN_TEST_SEED=$${FIRST:-1} \
	$(CARGO) nextest run --locked --profile long --cargo-profile simulate --no-capture every_history_keeps_the_invariants

adversary-long: ## 20,000 histories with an adversary at the store, who hides, replays, puts back and forges (SEEDS=).
	DRUMLIN_ADVERSARY_SEEDS=$${SEEDS:-20000} \
	$(CARGO) nextest run --locked --profile long --cargo-profile simulate --no-capture adversary

scale-long:     ## 50 hosts that back up hourly for 30 simulated days, a collector daily, with faults.
	DRUMLIN_SCALE_DAYS=30 DRUMLIN_SCALE_HOSTS=50 $(CARGO) nextest run --locked --profile long --no-capture scale::

mount-long:     ## A mounted tree of 100,000 files, compared with its source.
	DRUMLIN_MOUNT_FILES=100000 $(CARGO) nextest run --locked --profile long --no-capture mount::equal_to_source::a_large_tree

soak-long:      ## An hour of reading from a mount by eight processes while backups and prunes run (DRUMLIN_SOAK_SECONDS=).
	DRUMLIN_SOAK_SECONDS=$${DRUMLIN_SOAK_SECONDS:-3600} $(CARGO) nextest run --locked --profile long --no-capture mount::soak

apps-long:      ## Dumps of 10,000 tables, a MariaDB server that changes while it is copied, 10^5 years and histories.
	DRUMLIN_APPS_LONG=1 $(CARGO) nextest run --locked --profile long --no-capture apps::
	DRUMLIN_SEEDS=$${SEEDS:-100000} $(CARGO) nextest run --locked --profile long --no-capture --lib schedule::tests notify::tests

odd-long:       ## Each odd file system as source, as repository and as target, with more files and changes.
	DRUMLIN_ODD_LONG=1 $(CARGO) nextest run --locked --profile long --no-capture odd_file_systems::

ci: lint doc features test ## What continuous integration runs: lint, doc, features, test.

doc:            ## Builds the library's pages, and those of all its modules; a broken link or a missing comment is an error.
	RUSTDOCFLAGS="-D warnings --cfg drumlin_internals" $(CARGO) doc --locked --no-deps --lib
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib

features:       ## Checks that the library builds without features, and with each one alone.
	$(CARGO) check --locked --no-default-features
	for feature in cli mount s3 sftp sqlite; do $(CARGO) check --locked --no-default-features --features $$feature || exit 1; done

fuzz-check:     ## Checks that the fuzz targets build (on the stable toolchain, without sanitizers).
	cd fuzz && $(CARGO) check --locked

lint:           ## Formatting, clippy, and the dependencies' licences, sources and (with the network) advisories.
	@scripts/test-deps.sh
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	target/deny/bin/cargo-deny --locked check bans licenses sources
	@if target/deny/bin/cargo-deny --locked fetch db > /dev/null 2>&1; then target/deny/bin/cargo-deny --locked check advisories; \
	else echo "advisories were not looked up: their database cannot be reached"; fi

bench: build    ## Drumlin beside other tools and beside lower bounds, on generated data (see benches/peers/run.sh).
	benches/peers/run.sh

bench-dumps: build ## What each state of a database adds to the repositories of Drumlin and other tools (ROWS=).
	PATH="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/release:$$PATH" benches/peers/dumps.py target/bench-dumps --rows $${ROWS:-1600000}

bench-apps: build ## What the daemon costs with many apps, of which some are due at once (APPS=, DUE=).
	PATH="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/release:$$PATH" benches/peers/many_apps.py target/bench-apps --apps $${APPS:-200} --due $${DUE:-10}

bench-stages:   ## Micro-benchmarks of each stage beside the bare primitive.
	$(CARGO) bench --locked --bench stages

fuzz-smoke:     ## Every fuzz target for FUZZ_SECONDS seconds.
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz-smoke.sh

clean:          ## Removes what was built.
	$(CARGO) clean
