#!/bin/sh
# foreign_file_system.sh SOURCE INNER MOUNT: serves SOURCE at INNER and that at MOUNT, by FUSE, and has a process map the
# libssl there. Prints "server PID" of the inner server and "process PID", then "mapped". Where the inner one is stopped the
# outer one takes requests and never answers, as sshfs does when its network is gone. To be run in a mount namespace of its
# own: the mounts go with it.
set -eu
mount --make-rprivate /
bindfs -f "$1" "$2" &
server=$!
# Until the server answers the directory is empty.
until [ -e "$2/libssl.so.3" ]; do
    kill -0 "$server"
done
bindfs -f "$2" "$3" &
outer=$!
until [ -e "$3/libssl.so.3" ]; do
    kill -0 "$outer"
done
echo "server $server"
echo "outer $outer"
LD_LIBRARY_PATH=$3 python3 -c 'import ssl, time; print("mapped", flush=True); time.sleep(300)' &
echo "process $!"
wait
