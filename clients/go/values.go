package main

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	vecgate "vecgate/v1"
)

// pack writes a vector as it travels: little-endian float32, 4 bytes a component.
func pack(components []float32) *vecgate.Vector {
	bytes := make([]byte, 4*len(components))
	for i, component := range components {
		binary.LittleEndian.PutUint32(bytes[4*i:], math.Float32bits(component))
	}
	return &vecgate.Vector{Encoding: &vecgate.Vector_Packed{Packed: bytes}}
}

// unpack reads a vector as answers carry it.
func unpack(vector *vecgate.Vector) []float32 {
	bytes := vector.GetPacked()
	components := make([]float32, len(bytes)/4)
	for i := range components {
		components[i] = math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*i:]))
	}
	return components
}

// Metadata values are typed: what goes in comes back with its type.

func text(value string) *vecgate.Value {
	return &vecgate.Value{Kind: &vecgate.Value_StringValue{StringValue: value}}
}

func integer(value int64) *vecgate.Value {
	return &vecgate.Value{Kind: &vecgate.Value_IntValue{IntValue: value}}
}

func number(value float64) *vecgate.Value {
	return &vecgate.Value{Kind: &vecgate.Value_DoubleValue{DoubleValue: value}}
}

func truth(value bool) *vecgate.Value {
	return &vecgate.Value{Kind: &vecgate.Value_BoolValue{BoolValue: value}}
}

func instant(value time.Time) *vecgate.Value {
	return &vecgate.Value{Kind: &vecgate.Value_TimestampValue{TimestampValue: timestamppb.New(value)}}
}

func list(values ...string) *vecgate.Value {
	return &vecgate.Value{Kind: &vecgate.Value_StringListValue{StringListValue: &vecgate.StringList{Values: values}}}
}

// readable gives a value for JSON as protobuf's JSON mapping does: integers, which JSON readers take for doubles, as strings.
func readable(value *vecgate.Value) any {
	switch kind := value.Kind.(type) {
	case *vecgate.Value_StringValue:
		return map[string]any{"string_value": kind.StringValue}
	case *vecgate.Value_IntValue:
		return map[string]any{"int_value": strconv.FormatInt(kind.IntValue, 10)}
	case *vecgate.Value_DoubleValue:
		return map[string]any{"double_value": kind.DoubleValue}
	case *vecgate.Value_BoolValue:
		return map[string]any{"bool_value": kind.BoolValue}
	case *vecgate.Value_TimestampValue:
		return map[string]any{"timestamp_value": kind.TimestampValue.AsTime().Format(time.RFC3339Nano)}
	case *vecgate.Value_StringListValue:
		return map[string]any{"string_list_value": kind.StringListValue.Values}
	default:
		return nil // A kind that this program was not built for.
	}
}
