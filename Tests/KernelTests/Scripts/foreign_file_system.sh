#!/bin/sh
# foreign_file_system.sh SOURCE MOUNT: serves SOURCE at MOUNT by FUSE, and has a process map the libssl there. Prints
# "server PID" and "process PID", then "mapped". To be run in a mount namespace of its own: the mount goes with it.
set -eu
mount --make-rprivate /
bindfs -f "$1" "$2" &
server=$!
# Until the server answers the directory is empty.
until [ -e "$2/libssl.so.3" ]; do
    kill -0 "$server"
done
echo "server $server"
LD_LIBRARY_PATH=$2 python3 -c 'import ssl, time; print("mapped", flush=True); time.sleep(300)' &
echo "process $!"
wait
