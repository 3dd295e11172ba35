# The program for machines without Python: one folder, one file, one Debian package. Included by ../Makefile.
VERSION      := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' qflowd/__init__.py)
ARCHITECTURE := $(shell dpkg --print-architecture 2>/dev/null || echo amd64)
DEB          := dist/qflowd_$(VERSION)_$(ARCHITECTURE).deb
PROGRAM      := build/qflowd/qflowd
INSIDE       := $(shell find qflowd -name '*.py' -o -name '*.json' | grep -v '^qflowd/static/')

DEBIAN_TOOLS := debhelper patchelf lintian debootstrap systemd-container

.PHONY: deb lint-deb debian-tools booted test-boot

deb: $(DEB)  ## Leave dist/qflowd_VERSION_amd64.deb

$(VENV)/.packaged: $(VENV)/.tested
	@echo "==> what packages are made with"
	$(BIN)/pip install -q --disable-pip-version-check -e '.[package]'
	@touch $@

$(PROGRAM): $(VENV)/.packaged qflowd/static/index.html packaging/qflowd.spec $(INSIDE)
	@echo "==> the program with all that it needs, in build/qflowd/"
	@$(BIN)/pyinstaller --noconfirm --log-level WARN --distpath build --workpath build/pyinstaller packaging/qflowd.spec
	@touch $@

$(DEB): $(PROGRAM) $(shell find packaging systemd etc docs/install.md README.md -type f) | debian-tools
	@echo "==> $(DEB)"
	@$(BIN)/python packaging/stage.py build/deb/qflowd
	@cd build/deb/qflowd && dpkg-buildpackage --build=binary --no-sign > ../build.log 2>&1 || { cat ../build.log; exit 1; }
	@mkdir -p dist && cp build/deb/$(notdir $@) $@

test-boot: booted  ## Install the package on a Debian 12 that is really booted, and try everything there (as root)
	$(BIN)/python -m pytest tests/boot

# All that the boot tests need; elsewhere than as root they are skipped.
ifeq ($(shell id -u),0)
booted: $(DEB) $(VENV)/.tested
	@$(BIN)/python -m tests.boot.base
else
booted:
	@echo "==> no boot tests: booting a Debian takes root"
endif

lint-deb: $(DEB)
	lintian --fail-on error $(DEB)

# What building and booting Debian takes, from Debian.
debian-tools:
	@for tool in dh patchelf lintian debootstrap systemd-nspawn; do command -v $$tool >/dev/null || missing=1; done; [ -z "$$missing" ] || { \
	  echo "==> installing $(DEBIAN_TOOLS)"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends $(DEBIAN_TOOLS) >/dev/null; }
