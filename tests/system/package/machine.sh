# A Debian 12 of its own, booted by its systemd in namespaces: no container engine is needed, and the host keeps nothing of it but the base system.
# Sourced. Needs root, and the network the first time (minutes then, seconds later).
# shellcheck shell=bash

base=${FLEET_DEBIAN_ROOT:-/var/tmp/fleet-debian-12} # the installed system; kept, and never changed by a test
# What deploy/README.md asks for, and what a machine has that debootstrap leaves out. Nothing that our package depends on: apt
# finds that.
packages=(systemd dbus procps postgresql jq curl ca-certificates less)
machine='' machine_pid='' machine_cgroup=''

# make_base PACKAGE: the base system, once for what this package depends on. A booted machine has no network, so what apt would fetch for the
# package lies in /srv/debian, an archive like any other to it; installed is none of it.
make_base() {
  local key
  key="${packages[*]} | $(dpkg-deb -f "$1" Depends Recommends)" || return 1
  [[ $(cat "$base/.complete" 2> /dev/null) != "$key" ]] || return 0
  rm -rf "$base"
  debootstrap --variant=minbase bookworm "$base" || return 1
  printf '#!/bin/sh\nexit 101\n' > "$base/usr/sbin/policy-rc.d" # nothing starts while it is installed
  chmod +x "$base/usr/sbin/policy-rc.d"
  in_root "$base" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" || return 1
  rm "$base/usr/sbin/policy-rc.d"
  in_root "$base" systemctl mask getty.target console-getty.service getty-static.service # it has no terminals
  mkdir "$base/srv/debian"
  cp "$1" "$base/srv/wanted.deb"
  in_root "$base" apt-get clean &&
    in_root "$base" apt-get install -y -q --download-only /srv/wanted.deb || return 1
  mv "$base"/var/cache/apt/archives/*.deb "$base/srv/debian/"
  rm "$base/srv/wanted.deb"
  (cd "$base/srv/debian" && dpkg-scanpackages . > Packages) || return 1
  rm -rf "$base"/etc/apt/sources.list.d "$base"/var/lib/apt/lists/*
  echo 'deb [trusted=yes] file:/srv/debian ./' > "$base/etc/apt/sources.list"
  in_root "$base" apt-get update -q || return 1
  echo "$key" > "$base/.complete"
}

in_root() { # ROOT COMMAND...
  unshare --mount --pid --fork --kill-child bash -c '
    root=$1; shift
    mount --make-rprivate /
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/tmp"
    exec chroot "$root" "$@"' in_root "$@" < /dev/null
}

# make_machine: a fresh copy of the base; what is written to it is gone with it.
make_machine() {
  machine=$(mktemp -d /var/tmp/fleet-machine.XXXXXXXX)
  mkdir "$machine/root" "$machine/layer"
  make_layer
}
make_layer() {
  mount -t tmpfs -o size=4g,mode=755 tmpfs "$machine/layer"
  mkdir "$machine/layer/upper" "$machine/layer/work"
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$machine/layer/upper,workdir=$machine/layer/work" "$machine/root"
}
remove_layer() { umount "$machine/root"; umount "$machine/layer"; }

# Boots it with a network of its own (loopback only), and waits until its systemd takes commands.
boot() {
  local launcher end=$((SECONDS + 60))
  # Its systemd makes control groups for its services below this one, and none of the host's.
  machine_cgroup=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)/${machine##*/}
  mkdir "$machine_cgroup" || return 1
  # shellcheck disable=SC2016
  setsid bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$machine_cgroup" unshare --pid --fork --kill-child --mount --net --uts --ipc --cgroup bash -c '
    root=$1
    mount --make-rprivate /
    ip link set lo up
    hostname machine
    # A root that is a mount of its own, so that services get their private views of it.
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys" && mount -o remount,bind,ro "$root/proc/sys" # the kernel is shared with the host
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"; done
    mknod -m 666 "$root/dev/tty" c 5 0
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s fd/0 "$root/dev/stdin" && ln -s fd/1 "$root/dev/stdout" && ln -s fd/2 "$root/dev/stderr"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    cd "$root" && pivot_root . mnt && umount -l /mnt
    # As on a booted host: systemd leaves this to whoever starts a container, and hands credentials over by a mount.
    mount --make-rshared /
    export container=fleet-test PATH=/usr/sbin:/usr/bin:/sbin:/bin
    exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=no --log-target=journal' boot "$machine/root" \
    > "$machine/console" 2>&1 < /dev/null &
  launcher=$!
  until machine_pid=$(pgrep -P "$launcher") && inside systemctl is-system-running 2> /dev/null | grep -qE 'running|degraded'; do
    ((SECONDS < end)) && kill -0 "$launcher" || { cat "$machine/console"; return 1; }
    sleep 0.2
  done
}

inside() {
  nsenter --target "$machine_pid" --all env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 sh -c 'cd /root && exec "$@"' inside "$@"
}

remove_machine() {
  [[ -z $machine_pid ]] || kill -KILL "$machine_pid" 2> /dev/null || true
  wait 2> /dev/null || true
  [[ -n $machine ]] || return 0
  if [[ -n $machine_cgroup ]]; then
    echo 1 > "$machine_cgroup/cgroup.kill"
    find "$machine_cgroup" -depth -type d -exec rmdir {} + || true
  fi
  remove_layer 2> /dev/null || true
  rm -rf --one-file-system "$machine"
  machine='' machine_pid='' machine_cgroup=''
}
