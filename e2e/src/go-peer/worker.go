package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/xtaci/smux"
)

var (
	cancelled = map[string]chan struct{}{}
	lock      sync.Mutex
)

// runWorker serves one model: each request is answered with three chunks, one whose body says "endless" until it is cancelled.
func runWorker(url, token, model string) {
	dialer := websocket.Dialer{Subprotocols: []string{"tokilake.v1"}}
	socket, _, err := dialer.Dial(url, http.Header{"Authorization": {"Bearer " + token}})
	must(err)
	session, err := smux.Client(&byteStream{socket: socket}, defaults())
	must(err)
	first, err := session.OpenStream()
	must(err)
	lines, encoder := bufio.NewReader(first), json.NewEncoder(first)
	served := []string{model}
	must(encoder.Encode(control{Type: "register", RequestID: "go:register:1", Register: map[string]interface{}{"namespace": "go-worker", "models": served}}))
	awaitAck(lines, "go:register:1")
	must(encoder.Encode(control{Type: "models_sync", RequestID: "go:models:2", Models: map[string]interface{}{"models": served}}))
	awaitAck(lines, "go:models:2")
	say(map[string]interface{}{"is": "registered", "subprotocol": socket.Subprotocol()})
	var writing sync.Mutex
	go heartbeats(encoder, &writing)
	go readControl(lines, encoder, &writing)
	for {
		stream, err := session.AcceptStream()
		must(err)
		go serve(stream)
	}
}

func heartbeats(encoder *json.Encoder, writing *sync.Mutex) {
	for count := 0; ; count++ {
		time.Sleep(15 * time.Second)
		writing.Lock()
		must(encoder.Encode(control{Type: "heartbeat", RequestID: fmt.Sprint("go:heartbeat:", count), Heartbeat: map[string]interface{}{"status": 1}}))
		writing.Unlock()
	}
}

func readControl(lines *bufio.Reader, encoder *json.Encoder, writing *sync.Mutex) {
	for {
		message := read(lines)
		if message.Cancel == nil {
			continue
		}
		lock.Lock()
		channel, known := cancelled[message.Cancel.Target]
		delete(cancelled, message.Cancel.Target)
		lock.Unlock()
		result := "cancel_noop"
		if known {
			close(channel)
			result = "cancel_ok"
		}
		writing.Lock()
		must(encoder.Encode(control{Type: "ack", RequestID: message.RequestID, Ack: map[string]interface{}{"message": result}}))
		writing.Unlock()
		say(map[string]interface{}{"is": result, "reason": message.Cancel.Reason})
	}
}

func serve(stream *smux.Stream) {
	defer stream.Close()
	line, err := bufio.NewReader(stream).ReadBytes('\n')
	if err != nil {
		return
	}
	var asked request
	must(json.Unmarshal(line, &asked))
	say(map[string]interface{}{"is": "request", "kind": asked.RouteKind, "path": asked.Path, "model": asked.Model, "bytes": len(asked.Body)})
	stop := make(chan struct{})
	lock.Lock()
	cancelled[asked.RequestID] = stop
	lock.Unlock()
	encoder := json.NewEncoder(stream)
	write := func(frame answer) bool {
		frame.RequestID = asked.RequestID
		return encoder.Encode(frame) == nil
	}
	write(answer{StatusCode: 200, Headers: map[string]string{"Content-Type": "text/event-stream", "X-Joined": "a, b"}})
	chunk := `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"<word> & "}}]}` + "\n\n"
	for count := 0; count < 3 || strings.Contains(string(asked.Body), "endless"); count++ {
		select {
		case <-stop:
			say(map[string]interface{}{"is": "stopped"})
			return
		case <-time.After(5 * time.Millisecond):
		}
		write(answer{BodyChunk: []byte(chunk)})
	}
	if strings.Contains(string(asked.Body), "large") {
		write(answer{BodyChunk: []byte(": " + strings.Repeat("x", 32_000) + "\n\n")})
	}
	write(answer{BodyChunk: []byte("data: [DONE]\n\n")})
	write(answer{EOF: true})
}

func awaitAck(lines *bufio.Reader, id string) {
	for {
		message := read(lines)
		if message.Error != nil {
			say(map[string]interface{}{"is": "refused", "error": message.Error})
			os.Exit(3)
		}
		if message.Type == "ack" && message.RequestID == id {
			say(map[string]interface{}{"is": "ack", "ack": message.Ack})
			return
		}
	}
}
