package main

import (
	"fmt"
	"math/rand"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// Refusal is a failed call taken apart. Act on Reason, a stable word; Message is for people.
type Refusal struct {
	Code              string   `json:"code"`
	Reason            string   `json:"reason"`
	Message           string   `json:"message"`
	Fields            []string `json:"fields"`
	RetryAfterSeconds *float64 `json:"retry_after_seconds"`
}

// refusalOf reads google.rpc.Status, which gRPC takes from the trailer grpc-status-details-bin. What did not come from a
// vecgate server (no connection, a proxy, a deadline) has no details: its reason is the name of its code.
func refusalOf(err error) Refusal {
	failed := status.Convert(err)
	name := code.Code_name[int32(failed.Code())]
	refusal := Refusal{Code: name, Reason: name, Message: failed.Message(), Fields: []string{}}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			refusal.Reason = detail.Reason
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				refusal.Fields = append(refusal.Fields, violation.Field)
			}
		case *errdetails.RetryInfo:
			seconds := float64(detail.RetryDelay.GetSeconds()) + float64(detail.RetryDelay.GetNanos())/1e9
			refusal.RetryAfterSeconds = &seconds
		}
	}
	return refusal
}

// pause is how long to wait before the call is sent again; 0 if the server named no time. Up to a fifth is added, so that those
// who were refused together do not come back together.
func (refusal Refusal) pause() time.Duration {
	if refusal.RetryAfterSeconds == nil {
		return 0
	}
	return time.Duration(*refusal.RetryAfterSeconds * (1 + 0.2*rand.Float64()) * float64(time.Second))
}

// temporary says whether the same may go through later: no server, one that ends (CANCELLED, as nobody here
// cancels), or one without room that told when to come back.
func (refusal Refusal) temporary() bool {
	return refusal.Code == "UNAVAILABLE" || refusal.Code == "CANCELLED" || (refusal.Code == "RESOURCE_EXHAUSTED" && refusal.RetryAfterSeconds != nil)
}

// Error makes one line of it.
func (refusal Refusal) Error() string {
	return fmt.Sprintf("%s (%s)", refusal.Message, refusal.Reason)
}
