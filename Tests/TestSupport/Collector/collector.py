"""A collector of OTLP that believes OpenTelemetry's own parsers: collector.py [--tls CERTIFICATE KEY] ANSWER...

Prints its port, then for each request a line of JSON: its path, headers and message, or what is wrong with it. Answers the
first request with the first ANSWER and so on, all that follow with the last:
  200         the signal's response message
  partial:N   the same, N of them rejected
  STATUS[:S]  an error, with Retry-After S
  hang        nothing, until the client goes
  drop        the end of the connection
  garbage     200 and bytes that are no message
"""
import gzip
import http.server
import json
import ssl
import sys
import threading

from google.protobuf import json_format, unknown_fields
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

MESSAGES = {
    "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse, "rejected_data_points"),
    "/v1/traces": (trace.ExportTraceServiceRequest, trace.ExportTraceServiceResponse, "rejected_spans"),
}
arguments = sys.argv[1:]
certificate = None
if arguments[0] == "--tls":
    certificate, arguments = arguments[1:3], arguments[3:]
answers = arguments
lock = threading.Lock()


def expect_known(message):
    """No field that OpenTelemetry has no name for."""
    if len(unknown_fields.UnknownFieldSet(message)):
        raise ValueError(f"unknown fields in {message.DESCRIPTOR.full_name}")
    for field, value in message.ListFields():
        if field.message_type:
            for one in value if field.is_repeated else [value]:
                expect_known(one)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        found = next((path for path in MESSAGES if self.path.endswith(path)), None)
        line = {"path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}}
        try:
            message = MESSAGES[found][0].FromString(body)
            expect_known(message)
            line["message"] = json_format.MessageToDict(message)
        except Exception as error:
            line["error"] = repr(error)
        with lock:
            print(json.dumps(line), flush=True)
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.answer(answer, found)

    def answer(self, answer, path):
        kind, _, detail = answer.partition(":")
        self.close_connection = True
        if kind == "hang":
            self.rfile.read(1)
            return
        if kind == "drop":
            return
        status, body = 200, b""
        if kind == "garbage":
            body = b"\xff" * 20
        elif kind in ("200", "partial"):
            response = MESSAGES[path][1]()
            if kind == "partial":
                setattr(response.partial_success, MESSAGES[path][2], int(detail))
                response.partial_success.error_message = "too many"
            body = response.SerializeToString()
        else:
            status = int(kind)
        self.send_response(status)
        if detail and kind.isdigit():
            self.send_header("Retry-After", detail)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
