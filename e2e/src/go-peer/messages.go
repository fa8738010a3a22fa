package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type control struct {
	Type      string                 `json:"type"`
	RequestID string                 `json:"request_id,omitempty"`
	Register  map[string]interface{} `json:"register,omitempty"`
	Models    map[string]interface{} `json:"models_sync,omitempty"`
	Heartbeat map[string]interface{} `json:"heartbeat,omitempty"`
	Ack       map[string]interface{} `json:"ack,omitempty"`
	Error     map[string]interface{} `json:"error,omitempty"`
	Cancel    *cancelRequest         `json:"cancel_request,omitempty"`
}

type cancelRequest struct {
	Target string `json:"target_request_id"`
	Reason string `json:"reason,omitempty"`
}

type request struct {
	RequestID string            `json:"request_id"`
	RouteKind string            `json:"route_kind"`
	Method    string            `json:"method"`
	Path      string            `json:"path"`
	Model     string            `json:"model,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	IsStream  bool              `json:"is_stream,omitempty"`
	Body      []byte            `json:"body,omitempty"`
}

type answer struct {
	RequestID  string            `json:"request_id"`
	StatusCode int               `json:"status_code,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	BodyChunk  []byte            `json:"body_chunk,omitempty"`
	EOF        bool              `json:"eof,omitempty"`
}

func read(lines *bufio.Reader) control {
	line, err := lines.ReadBytes('\n')
	must(err)
	var message control
	must(json.Unmarshal(line, &message))
	return message
}

func say(what map[string]interface{}) {
	line, _ := json.Marshal(what)
	fmt.Println(string(line))
}

func must(err error) {
	if err != nil {
		say(map[string]interface{}{"is": "failed", "error": err.Error()})
		os.Exit(2)
	}
}
