#!/bin/sh
# Installs what the programs of clients/ are built with, as far as it is missing, with one call of apt-get (Debian, Ubuntu).
set -eu

# A command or path that shows that a package is there, and the package.
missing=
while read -r sign package; do
    if ! command -v "$sign" >/dev/null && ! [ -e "$sign" ]; then
        missing="$missing $package"
    fi
done <<END
/usr/share/python-wheels python3-venv
protoc protobuf-compiler
node nodejs
npm npm
go golang-go
protoc-gen-go protoc-gen-go
protoc-gen-go-grpc protoc-gen-go-grpc
/usr/share/gocode/src/google.golang.org/grpc golang-google-grpc-dev
/usr/share/gocode/src/google.golang.org/genproto golang-google-genproto-dev
/usr/share/gocode/src/github.com/golang/protobuf/ptypes golang-github-golang-protobuf-1-5-dev
c++ g++
cmake cmake
pkg-config pkg-config
grpc_cpp_plugin protobuf-compiler-grpc
/usr/include/grpcpp/grpcpp.h libgrpc++-dev
/usr/include/google/protobuf/message.h libprotobuf-dev
/usr/include/nlohmann/json.hpp nlohmann-json3-dev
javac default-jdk-headless
grpc_java_plugin protobuf-compiler-grpc-java-plugin
/usr/share/java/grpc-netty.jar libgrpc-java
/usr/share/java/protobuf-util.jar libprotobuf-java
/usr/share/java/proto-google-common-protos.jar libgoogle-common-protos-java
/usr/share/java/netty-codec-http2.jar libnetty-java
/usr/share/java/guava.jar libguava-java
/usr/share/java/gson.jar libgoogle-gson-java
/usr/share/java/perfmark-api.jar libperfmark-java
/usr/share/java/opencensus-api.jar libopencensus-java
/usr/share/java/geronimo-annotation-1.3-spec.jar libgeronimo-annotation-1.3-spec-java
curl curl
h2load nghttp2-client
END

if [ -z "$missing" ]; then
    exit 0
fi
echo "Installing with apt-get:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# The names are separate words.
# shellcheck disable=SC2086
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "These Debian packages are needed and could not be installed with apt-get (see above):$missing." >&2
    echo "Install them, or on another system what they stand for, and run the same command again." >&2
    exit 1
fi
