// A minimal server to compare with the endpoint: Go's net/http with one credential.
//
// Reads two lines, the token and the body, and prints the port. Ends with its standard input.
package main

import (
	"bufio"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func line(from *bufio.Reader) []byte {
	text, err := from.ReadString('\n')
	if err != nil {
		panic(err)
	}
	return []byte(strings.TrimSuffix(text, "\n"))
}

func main() {
	input := bufio.NewReader(os.Stdin)
	token, body := line(input), line(input)
	length := strconv.Itoa(len(body))
	http.HandleFunc("/v1/credentials/default", func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), token) != 1 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", length)
		header.Set("Cache-Control", "no-store")
		w.Write(body)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go http.Serve(listener, nil)
	io.Copy(io.Discard, input)
}
