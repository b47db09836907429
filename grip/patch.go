package grip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// The bounds of a JSON Patch. What an operation costs grows with the document,
// and what a step into it costs with what is below; so a patch of a megabyte
// could keep a processor busy for minutes.
const (
	// maxPatchOps is how many operations a patch may have.
	maxPatchOps = 1000
	// maxPatchDepth is how deep a patch and the document may be nested, and how
	// many steps a pointer may have.
	maxPatchDepth = 64
	// maxPatched is how long the result may be, in bytes: as much as a publish.
	maxPatched = 1_000_000
)

// parsePatch returns raw, a JSON Patch, without its white space. The error says
// what is wrong with it, to be read after its name.
func parsePatch(raw json.RawMessage) ([]byte, error) {
	if _, ok := as[[]json.RawMessage](raw); !ok {
		return nil, errors.New("with wrong type")
	}
	if nesting(raw) > maxPatchDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxPatchDepth)
	}
	patch, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		return nil, errors.New("with invalid value")
	}
	if len(patch) > maxPatchOps {
		return nil, fmt.Errorf("with more than %d operations", maxPatchOps)
	}
	for _, op := range patch {
		if err := checkOperation(op); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		return nil, errors.New("with invalid value")
	}
	return out.Bytes(), nil
}

// checkOperation returns an error for what the library would do otherwise than
// RFC 6902 has it: to it an empty step is the whole document, which is what it
// was before the patch when it is moved or copied.
func checkOperation(op jsonpatch.Operation) error {
	kind := op.Kind()
	if _, ok := op["value"]; kind == "test" && !ok {
		return errors.New("with invalid value")
	}
	pointers := []string{"path"}
	if kind == "move" || kind == "copy" {
		pointers = append(pointers, "from")
	}
	for _, key := range pointers {
		pointer, err := op.Path()
		if key == "from" {
			pointer, err = op.From()
		}
		if err != nil {
			return errors.New("with invalid value")
		}
		if pointer == "" && (kind == "add" || kind == "replace" || kind == "test") {
			continue
		}
		if !strings.HasPrefix(pointer, "/") {
			return fmt.Errorf("with a '%s' for '%s' that does not begin with '/'", key, kind)
		}
		if strings.Count(pointer, "/") > maxPatchDepth {
			return fmt.Errorf("with a '%s' of more than %d steps", key, maxPatchDepth)
		}
		if strings.Contains(pointer+"/", "//") {
			return fmt.Errorf("with a '%s' that has an empty step", key)
		}
	}
	return nil
}

// nesting returns how deep the valid JSON text is nested.
func nesting(text []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

// Patched returns the body of r, which is JSON, changed by a patch from
// ParseItems. A line end at the end of the body stays. The result is empty when
// the patch does not apply, as in Pushpin, and when it would make the body longer
// than 1,000,000 bytes.
func (r Response) Patched(patch []byte) []byte {
	text := bytes.TrimSuffix(r.Body, []byte("\n"))
	text = bytes.TrimSuffix(text, []byte("\r"))
	end := r.Body[len(text):]
	if !bytes.HasSuffix(end, []byte("\n")) {
		end = nil
	}
	out, err := applyPatch(text, patch)
	if err != nil || len(out)+len(end) > maxPatched {
		return nil
	}
	return append(out, end...)
}

// applyPatch returns the document changed by the patch. The library panics on
// some documents with null in a list.
func applyPatch(document, patch []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("apply patch: %v", r)
		}
	}()
	var compact bytes.Buffer // the library wants no space before the document
	if err := json.Compact(&compact, document); err != nil {
		return nil, err
	}
	if nesting(compact.Bytes()) > maxPatchDepth {
		return nil, errors.New("document is nested too deep")
	}
	ops, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	options := jsonpatch.NewApplyOptions()
	options.EscapeHTML = false
	options.SupportNegativeIndices = false // RFC 6901 §4 has none
	options.AccumulatedCopySizeLimit = maxPatched
	return ops.ApplyWithOptions(compact.Bytes(), options)
}
