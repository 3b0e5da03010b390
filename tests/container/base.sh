#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: base.sh FOLDER: makes the root file system of a debian:bookworm-slim, for where no registry
# has one: what debootstrap installs, from the mirrors that apt uses here, less what a slim image
# leaves out, now and in whatever is installed later.
# shellcheck disable=SC2016 # apt-get expands its own $(...)
set -eu
folder=${1:?usage: base.sh FOLDER}

mirrors=$(apt-get indextargets --format '$(ORIGIN) $(SITE) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' | awk '$1 == "Debian" && $3 ~ /^bookworm/ && $4 == "main"' | sort -u)
first=$(echo "$mirrors" | awk '$3 == "bookworm" { print $2; exit }')
[ -n "$first" ] || { echo "base.sh: apt has no mirror of bookworm" >&2 && exit 1; }
debootstrap --variant=minbase bookworm "$folder" "$first"
echo "$mirrors" | awk '{ print "deb", $2, $3, $4 }' >"$folder/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::https?::Proxy ' >"$folder/etc/apt/apt.conf.d/proxy" || true

cat >"$folder/etc/dpkg/dpkg.cfg.d/slim" <<'CONF'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/groff/*
path-exclude /usr/share/info/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
CONF
printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
chmod 755 "$folder/usr/sbin/policy-rc.d"
find "$folder/usr/share/doc" -type f ! -name copyright -delete
find "$folder/usr/share/doc" -type l -delete
for name in groff info lintian locale man; do
    find "$folder/usr/share/$name" -mindepth 1 -delete 2>/dev/null || true
done
chroot "$folder" apt-get clean
rm -rf "$folder"/var/lib/apt/lists/* "$folder"/var/log/* "$folder"/var/cache/ldconfig/* \
    "$folder"/var/cache/apt/*.bin "${folder:?}"/dev/* "$folder"/etc/resolv.conf
