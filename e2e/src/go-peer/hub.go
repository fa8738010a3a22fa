package main

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/xtaci/smux"
)

// runHub takes one worker, sends it a chat request and prints the answer; then another, which it cancels at its first chunk.
func runHub(model, body string) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"tokilake.v1"}, CheckOrigin: func(*http.Request) bool { return true }}
	http.HandleFunc("/api/tokilake/connect", func(response http.ResponseWriter, asked *http.Request) {
		socket, err := upgrader.Upgrade(response, asked, nil)
		must(err)
		session, err := smux.Server(&byteStream{socket: socket}, defaults())
		must(err)
		first, err := session.AcceptStream()
		must(err)
		registered := make(chan struct{})
		encoder := json.NewEncoder(first)
		go answerControl(first, encoder, registered)
		<-registered
		ask(session, encoder, request{RequestID: "go:relay:1", Model: model, Body: []byte(body)}, false)
		ask(session, encoder, request{RequestID: "go:relay:2", Model: model, Body: []byte(strings.Replace(body, `"tokens":3`, `"tokens":100000`, 1))}, true)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	say(map[string]interface{}{"is": "listening", "port": listener.Addr().(*net.TCPAddr).Port})
	must(http.Serve(listener, nil))
}

func answerControl(stream *smux.Stream, encoder *json.Encoder, registered chan struct{}) {
	lines := bufio.NewReader(stream)
	for {
		message := read(lines)
		say(map[string]interface{}{"is": message.Type, "register": message.Register, "ack": message.Ack})
		switch message.Type {
		case "register", "models_sync", "heartbeat":
			ack := map[string]interface{}{"message": message.Type + "_ok", "namespace": "n", "worker_id": 1, "channel_id": 1}
			must(encoder.Encode(control{Type: "ack", RequestID: message.RequestID, Ack: ack}))
		}
		if message.Type == "models_sync" {
			close(registered)
		}
	}
}

func ask(session *smux.Session, control *json.Encoder, asked request, cancels bool) {
	stream, err := session.OpenStream()
	must(err)
	asked.RouteKind, asked.Method, asked.Path = "chat_completions", "POST", "/v1/chat/completions"
	asked.Headers, asked.IsStream = map[string]string{"Content-Type": "application/json"}, true
	must(json.NewEncoder(stream).Encode(asked))
	lines, text := bufio.NewReader(stream), ""
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			say(map[string]interface{}{"is": "ended", "request": asked.RequestID, "error": err.Error(), "text": text})
			return
		}
		var frame answer
		must(json.Unmarshal(line, &frame))
		text += string(frame.BodyChunk)
		if frame.StatusCode != 0 || frame.EOF {
			say(map[string]interface{}{"is": "frame", "request": asked.RequestID, "status": frame.StatusCode, "eof": frame.EOF})
		}
		if cancels && len(frame.BodyChunk) > 0 {
			must(control.Encode(cancelOf(asked.RequestID)))
			cancels = false
		}
	}
}

func cancelOf(id string) control {
	return control{Type: "cancel_request", RequestID: "go:cancel:1", Cancel: &cancelRequest{Target: id, Reason: "client_disconnected"}}
}
