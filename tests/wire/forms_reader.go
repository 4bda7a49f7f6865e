// Reads a form as Go does, and JSON as Go does: for the tests of what the gateway passes on. Not a part of it.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"os"
	"strings"
)

type part struct {
	Name    string `json:"name"`
	IsFile  bool   `json:"is_file"`
	Content string `json:"content"`
}

type request struct {
	Model      string   `json:"model"`
	Stream     bool     `json:"stream"`
	Store      *bool    `json:"store"`
	FileIDs    []string `json:"file_ids"`
	PreviousID string   `json:"previous_response_id"`
}

func parts(boundary string, body string) (any, error) {
	reader := multipart.NewReader(strings.NewReader(body), boundary)
	found := []part{}
	for {
		next, err := reader.NextPart()
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(next)
		if err != nil {
			return nil, err
		}
		encoded := base64.StdEncoding.EncodeToString(content)
		found = append(found, part{next.FormName(), next.FileName() != "", encoded})
	}
}

// Each line is a kind, "form BOUNDARY" or "json", a tab, and a body in base64; each answer is a line of JSON.
func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		kind, encoded, _ := strings.Cut(strings.TrimSpace(line), "\t")
		body, _ := base64.StdEncoding.DecodeString(encoded)
		var answer any
		if boundary, ok := strings.CutPrefix(kind, "form "); ok {
			answer, err = parts(boundary, string(body))
		} else {
			var read request
			err = json.Unmarshal(body, &read)
			answer = read
		}
		if err != nil {
			answer = nil
		}
		written, _ := json.Marshal(answer)
		fmt.Println(string(written))
	}
}
