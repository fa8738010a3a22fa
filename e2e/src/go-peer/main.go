// A worker and a hub made of the libraries that original ones are made of: gorilla/websocket, and xtaci/smux with its defaults.
//
//	peer worker URL TOKEN MODEL
//	peer hub MODEL BODY
//
// Each prints a line of JSON for each thing that happens.
package main

import "os"

func main() {
	switch os.Args[1] {
	case "worker":
		runWorker(os.Args[2], os.Args[3], os.Args[4])
	case "hub":
		runHub(os.Args[2], os.Args[3])
	}
}
