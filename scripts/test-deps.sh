#!/bin/sh
# Installs what the tests need and is not there yet: Debian packages, the test runner, and a Python environment in target/venv.
# Quick when nothing is missing. Works as root or with sudo.
set -eu
cd "$(dirname "$0")/.."

# package:program that it brings
packages="rsync:rsync attr:getfattr acl:setfacl libcap2-bin:setcap e2fsprogs:chattr strace:strace util-linux:mount util-linux:setpriv
  bsdutils:script coreutils:stat
  diffutils:cmp gcc:gcc make:make python3:python3 pkg-config:pkg-config
  openssh-server:sshd openssh-client:ssh-keygen openssh-client:ssh-agent openssh-client:sftp proftpd-core:proftpd
  fuse3:fusermount3 git:git tar:tar
  bindfs:bindfs mergerfs:mergerfs xfsprogs:mkfs.xfs btrfs-progs:mkfs.btrfs exfatprogs:mkfs.exfat exfat-fuse:mount.exfat-fuse
  ntfs-3g:ntfs-3g"
# package:file that it brings
files="proftpd-mod-crypto:/usr/lib/proftpd/mod_sftp.so libssl-dev:/usr/include/openssl/ssl.h"
# Servers: Ceph's S3 gateway with what it needs; npm for s3rver; a false clock.
packages="$packages radosgw:radosgw ceph-mon:ceph-mon ceph-osd:ceph-osd ceph-common:ceph nodejs:node npm:npm faketime:faketime
  openssl:openssl"
# Databases, Subversion and a container engine, whose dumps are backed up.
packages="$packages mariadb-server:mariadbd mariadb-client:mariadb-dump mariadb-backup:mariadb-backup subversion:svnadmin
  sqlite3:sqlite3
  podman:podman runc:runc"
# What reads metrics.
packages="$packages prometheus:promtool prometheus-pushgateway:prometheus-pushgateway
  prometheus-node-exporter:prometheus-node-exporter"
files="$files postgresql-15:/usr/lib/postgresql/15/bin/initdb"
missing=""
for pair in $packages; do
  # /usr/sbin holds setcap and is not on everybody's path.
  PATH="$PATH:/usr/sbin:/sbin" command -v "${pair#*:}" > /dev/null || missing="$missing ${pair%%:*}"
done
for pair in $files; do
  [ -e "${pair#*:}" ] || missing="$missing ${pair%%:*}"
done
python3 -c 'import ensurepip, venv' 2> /dev/null || missing="$missing python3 python3-venv"

if [ -n "$missing" ]; then
  if ! command -v apt-get > /dev/null; then
    echo "missing, and there is no apt-get to install them:$missing" >&2
    exit 1
  fi
  echo "installing:$missing"
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo"
  export DEBIAN_FRONTEND=noninteractive
  # Servers are started by the tests alone; who has a policy of their own keeps it.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" > /dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
  fi
  # shellcheck disable=SC2086
  $as_root apt-get install -y -qq --no-install-recommends $missing > /dev/null 2>&1 || {
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends $missing > /dev/null
  }
fi

if ! cargo nextest --version > /dev/null 2>&1; then
  # Not optimised: to build that takes longer than it saves.
  echo "installing cargo-nextest"
  CARGO_TARGET_DIR="$PWD/target/nextest-build" CARGO_PROFILE_DEV_DEBUG=0 \
    cargo install --quiet --locked --debug cargo-nextest
  rm -rf target/nextest-build
fi

# cargo-deny, for `make lint`. Built quickly: it runs for seconds.
if [ ! -x target/deny/bin/cargo-deny ]; then
  echo "installing cargo-deny"
  CARGO_TARGET_DIR="$PWD/target/deny-build" CARGO_PROFILE_DEV_DEBUG=0 \
    cargo install --quiet --locked --debug cargo-deny --version 0.20.2 --root target/deny
  rm -rf target/deny-build
fi

# format-spec/reader.py and the tests around it use these.
modules="import argon2, blake3, cryptography, zstandard"
if ! target/venv/bin/python -c "$modules" 2> /dev/null; then
  echo "making target/venv"
  mkdir -p target
  python3 -m venv --clear target/venv
  target/venv/bin/pip install --quiet --disable-pip-version-check blake3 cryptography zstandard argon2-cffi
  target/venv/bin/python -c "$modules"
fi

# moto, an S3 server; installed beside the reader's modules.
if ! target/venv/bin/python -c "import moto.server" 2> /dev/null; then
  echo "installing moto"
  target/venv/bin/python -m pip install --quiet --disable-pip-version-check 'moto[server,s3]==5.2.5'
fi

# The reference implementation of SLIP-39, which combines shares of keys.
if ! target/venv/bin/python -c "import shamir_mnemonic" 2> /dev/null; then
  echo "installing shamir-mnemonic"
  target/venv/bin/python -m pip install --quiet --disable-pip-version-check shamir-mnemonic==0.3.0
fi

# s3rver, an S3 server that replaces objects.
if [ ! -x target/node/node_modules/.bin/s3rver ]; then
  echo "installing s3rver"
  mkdir -p target/node
  (cd target/node && npm install --silent --no-fund --no-audit s3rver@3.7.1)
fi

# s3s-fs, an S3 server that loses races. Built quickly: it is to be wrong, not fast.
if [ ! -x target/s3s/bin/s3s-fs ]; then
  echo "installing s3s-fs"
  CARGO_TARGET_DIR="$PWD/target/s3s-build" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
    cargo install --quiet --locked s3s-fs --version 0.14.1 --features binary --root target/s3s
  rm -rf target/s3s-build
fi
