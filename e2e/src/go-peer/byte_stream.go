package main

import (
	"io"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/xtaci/smux"
)

func defaults() *smux.Config {
	config := smux.DefaultConfig()
	config.KeepAliveDisabled = true
	return config
}

// byteStream is a WebSocket as smux sees it: only binary messages count, their boundaries do not.
type byteStream struct {
	socket *websocket.Conn
	reader io.Reader
	write  sync.Mutex
}

func (stream *byteStream) Read(into []byte) (int, error) {
	for {
		if stream.reader == nil {
			kind, reader, err := stream.socket.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				continue
			}
			stream.reader = reader
		}
		count, err := stream.reader.Read(into)
		if err == io.EOF {
			stream.reader = nil
			err = nil
			if count == 0 {
				continue
			}
		}
		return count, err
	}
}

func (stream *byteStream) Write(from []byte) (int, error) {
	stream.write.Lock()
	defer stream.write.Unlock()
	if err := stream.socket.WriteMessage(websocket.BinaryMessage, from); err != nil {
		return 0, err
	}
	return len(from), nil
}

func (stream *byteStream) Close() error { return stream.socket.Close() }
