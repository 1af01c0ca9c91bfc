#!/bin/bash
# Boots this machine's own systemd as process 1 of new namespaces, over a layer that is thrown away: boot.sh FOLDER REPOSITORY
# Always true: nothing is written to the machine.
set -eu
umask 022
layer=$1 repository=$2
root=$layer/root

mount -t tmpfs layer "$layer"
mkdir "$layer/upper" "$layer/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" overlay "$root"

# The unit sees no homes and a /tmp of its own, so what it needs stands elsewhere.
mkdir -p "$root/opt/tree"
mount --bind "$repository" "$root/opt/tree"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs tmp "$root/tmp" # a boot empties it
mount -t tmpfs -o mode=755 dev "$root/dev"
while read -r name major minor; do
    mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done <<'EOF'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
EOF
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"

# A chroot could make no user namespaces (PrivateUsers=), and credentials reach a unit through shared mounts.
mkdir "$root/mnt/old"
cd "$root"
pivot_root . mnt/old
umount -l /mnt/old
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=basic.target
