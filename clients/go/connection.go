package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	service = "vecgate.v1.VectorSearchService"

	// Deadlines: what a call may take, retries and pauses included.
	readDeadline = 30 * time.Second
	bulkDeadline = 120 * time.Second
)

// Which methods gRPC itself sends again, how often and how fast. Go's gRPC before 1.40 does so only if GRPC_GO_RETRY=on.
//
//go:embed service_config.json
var serviceConfig string

// connect opens a connection; nothing is sent before the first call.
func connect(address string) (*grpc.ClientConn, error) {
	if !strings.Contains(address, "://") {
		// All addresses of the name. Without a scheme Dial asks the system for one of them.
		address = "dns:///" + address
	}
	return grpc.Dial(address,
		grpc.WithInsecure(),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second}),
		// A server that was away for a while is found within 2 seconds, not within 2 minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// The server bounds messages; gRPC's own 4 MiB could only disagree.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
}

// waitUntilServing returns once the server says that it serves: its models are warm and a backend answers.
func waitUntilServing(connection *grpc.ClientConn, address string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found := "no vecgate server answers"
	for ctx.Err() == nil {
		// WaitForReady: go on knocking until the deadline, instead of failing at the first refused connection.
		stream, err := health.NewHealthClient(connection).Watch(ctx, &health.HealthCheckRequest{Service: service}, grpc.WaitForReady(true))
		for err == nil {
			var answer *health.HealthCheckResponse
			if answer, err = stream.Recv(); err == nil {
				if answer.Status == health.HealthCheckResponse_SERVING {
					return nil
				}
				found = "the vecgate server is not ready"
			}
		}
		// The stream ends when the server goes; it, or another, may come back.
		if code := status.Code(err); err != io.EOF && code != codes.Unavailable && code != codes.DeadlineExceeded {
			return fmt.Errorf("what answers at %s is no vecgate server: %s", address, status.Convert(err).Message())
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s at %s within %v", found, address, patience)
}

// send makes one call within a deadline; its error is a Refusal. A call that was refused for want of room had no effect, whatever
// it does: it is sent again after the time that the server names, as long as the deadline lets it.
func send[Request, Response any](
	method func(context.Context, Request, ...grpc.CallOption) (Response, error), request Request, deadline time.Duration,
) (Response, error) {
	end := time.Now().Add(deadline)
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	for {
		response, err := method(ctx, request)
		if err == nil {
			return response, nil
		}
		refusal := refusalOf(err)
		pause := refusal.pause()
		if refusal.Code != "RESOURCE_EXHAUSTED" || pause == 0 || time.Now().Add(pause).After(end) {
			return response, refusal
		}
		time.Sleep(pause)
	}
}
