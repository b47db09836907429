package fanout

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// The writers and buffers are pooled: nobody gets what another one coded.
func TestCompressedAtTheSameTime(t *testing.T) {
	names := map[Variant]string{Gzip: "gzip", Zstd: "zstd"}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				body := []byte(strings.Repeat(fmt.Sprintf("line %d of %d\n", j, i), 20+j))
				for coding, name := range names {
					if got := decode(t, name, compressed(body, coding)); !bytes.Equal(got, body) {
						t.Errorf("%s of body %d/%d decodes to %.40q, want %.40q", name, i, j, got, body)
					}
				}
			}
		})
	}
	wg.Wait()
}
