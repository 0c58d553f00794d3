// weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT

package weir

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The scenario that every binding passes; see ../README.md.

type frame struct {
	id, kind, data string
}

func frames(bytes []byte) []frame {
	var all []frame
	texts := strings.Split(string(bytes), "\n\n")
	for _, text := range texts[:len(texts)-1] {
		f := frame{kind: "message"}
		var data []string
		for _, line := range strings.Split(text, "\n") {
			parts := strings.SplitN(line, ": ", 2)
			switch parts[0] {
			case "id":
				f.id = parts[1]
			case "event":
				f.kind = parts[1]
			case "data":
				data = append(data, parts[1])
			}
		}
		f.data = strings.Join(data, "\n")
		all = append(all, f)
	}
	return all
}

func types(bytes []byte) string {
	var all []string
	for _, f := range frames(bytes) {
		all = append(all, f.kind)
	}
	return strings.Join(all, " ")
}

func datas(frames []frame) string {
	var all []string
	for _, f := range frames {
		all = append(all, f.data)
	}
	return strings.Join(all, " ")
}

func equal(t *testing.T, got, wanted interface{}) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Fatalf("got %v, wanted %v", got, wanted)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newHub(t *testing.T) *Hub {
	h, err := NewHub(func(o *HubOptions) { o.HistoryEvents = 4 })
	must(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

func open(t *testing.T, h *Hub, key string, set ...func(*OpenOptions)) *Stream {
	t.Helper()
	s, err := h.Open(key, set...)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func publish(t *testing.T, s *Stream, data, kind string) uint64 {
	t.Helper()
	seq, err := s.Publish([]byte(data), kind, 0)
	must(t, err)
	return seq
}

func attach(t *testing.T, h *Hub, key string, client Client) *Response {
	t.Helper()
	r, err := h.Attach(key, client)
	must(t, err)
	if r.Subscriber != nil {
		t.Cleanup(func() { r.Subscriber.Close() })
	}
	return r
}

// All there is to read now, and EAGAIN or io.EOF.
func read(t *testing.T, s *Subscriber) ([]byte, error) {
	t.Helper()
	var all []byte
	room := make([]byte, 100)
	for {
		n, err := s.Read(room)
		all = append(all, room[:n]...)
		if err != nil {
			return all, err
		}
	}
}

func readNow(t *testing.T, s *Subscriber) []byte {
	t.Helper()
	bytes, err := read(t, s)
	equal(t, err, EAGAIN)
	return bytes
}

func readToEnd(t *testing.T, s *Subscriber) []byte {
	t.Helper()
	bytes, err := read(t, s)
	equal(t, err, io.EOF)
	return bytes
}

func notices(t *testing.T, h *Hub) []Notice {
	t.Helper()
	all, err := h.Notices()
	must(t, err)
	return all
}

// word is the listing's for a type.
func word(of reflect.Type) string {
	switch of.Kind() {
	case reflect.Array:
		return word(of.Elem())
	case reflect.Ptr, reflect.UnsafePointer:
		return "pointer"
	case reflect.Uintptr:
		return "size"
	}
	return of.Kind().String()
}

func TestItAgreesWithTheHeaders(t *testing.T) {
	file, err := os.Open(os.Getenv("WEIR_ABI"))
	must(t, err)
	defer file.Close()
	listing := make(map[string][]string)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch words[0] {
		case "version":
			listing["version"] = words[1:]
		case "size", "field":
			listing[words[1]] = append(listing[words[1]], strings.Join(words[2:], " "))
		}
	}
	capital := regexp.MustCompile("[A-Z]")
	for name, value := range map[string]interface{}{
		"weir_hub_options":    HubOptions{},
		"weir_open_options":   OpenOptions{},
		"weir_attach_options": AttachOptions{},
	} {
		ours := reflect.TypeOf(value)
		wanted := []string{fmt.Sprint(ours.Size())}
		for i := 0; i < ours.NumField(); i++ {
			field := ours.Field(i)
			snake := capital.ReplaceAllStringFunc(field.Name, func(letter string) string {
				return "_" + strings.ToLower(letter)
			})
			wanted = append(wanted, fmt.Sprint(strings.TrimPrefix(snake, "_"),
				" ", field.Offset, " ", field.Type.Size(), " ", word(field.Type)))
		}
		equal(t, wanted, listing[name])
	}
	// cgo has read the header; is the library that runs of the same version?
	equal(t, listing["version"], []string{Version()})
}

func TestPublish(t *testing.T) {
	h := newHub(t)
	stream := open(t, h, "a/1")
	equal(t, publish(t, stream, "Hello", "token"), uint64(1))
	response := attach(t, h, "a/1", Client{})
	equal(t, response.Status, 200)
	equal(t, response.Verdict, "fresh")
	equal(t, strings.HasPrefix(string(response.Head), "HTTP/1.1 200 OK\r\n"), true)
	fields := make(map[string]string)
	for _, field := range response.Fields {
		fields[field.Name] = field.Value
	}
	equal(t, fields["X-Stream-Id"], "a/1")
	equal(t, types(readNow(t, response.Subscriber)), "weir.ready token")
	equal(t, len(notices(t, h)), 0)

	text := "two\nlines and an \u00fcmlaut"
	equal(t, publish(t, stream, text, ""), uint64(2))
	reached, err := stream.Signal([]byte("{}"), "typing", EventJSON)
	must(t, err)
	equal(t, reached, uint64(1))
	equal(t, notices(t, h), []Notice{{NoticeReadable, response.Subscriber, nil, 0, 0}})
	all := frames(readNow(t, response.Subscriber))
	equal(t, len(all), 2)
	equal(t, frame{"", all[0].kind, all[0].data}, frame{"", "message", text})
	equal(t, all[1], frame{"", "typing", "{}"})
}

func TestTheLongestKey(t *testing.T) {
	h := newHub(t)
	key := strings.Repeat("\u6f22", 85)
	open(t, h, key)
	fields := make(map[string]string)
	for _, field := range attach(t, h, key, Client{}).Fields {
		fields[field.Name] = field.Value
	}
	equal(t, fields["X-Stream-Id"], strings.Repeat("%E6%BC%A2", 85))
	equal(t, fields["Connection"], "close")
}

func TestDropAndResume(t *testing.T) {
	h := newHub(t)
	stream := open(t, h, "a/1")
	for _, word := range []string{"one", "two", "three"} {
		publish(t, stream, word, "")
	}
	response := attach(t, h, "a/1", Client{})
	// The third event is lost on the way.
	seen := frames(readNow(t, response.Subscriber))[2].id
	must(t, response.Subscriber.Close())
	publish(t, stream, "four", "")

	response = attach(t, h, "a/1", Client{LastEventID: seen})
	equal(t, response.Verdict, "resumed")
	all := frames(readNow(t, response.Subscriber))
	equal(t, all[0].id, seen)
	equal(t, datas(all[1:]), "three four")
	response = attach(t, h, "a/1", Client{Query: "lastEventId=" + seen})
	equal(t, response.Verdict, "resumed")
}

func TestGap(t *testing.T) {
	h := newHub(t)
	stream := open(t, h, "a/1")
	publish(t, stream, "1", "")
	response := attach(t, h, "a/1", Client{})
	first := frames(readNow(t, response.Subscriber))[1].id
	for i := 2; i < 8; i++ {
		publish(t, stream, fmt.Sprint(i), "")
	}
	for cursor, verdict := range map[string]string{
		first: "evicted", "b-1": "foreign", "?": "malformed",
	} {
		response := attach(t, h, "a/1", Client{LastEventID: cursor})
		equal(t, response.Verdict, verdict)
		bytes := readNow(t, response.Subscriber)
		all := frames(bytes)
		equal(t, strings.HasPrefix(types(bytes), "weir.gap weir.ready "), true)
		equal(t, all[0].id, all[1].id)
		equal(t, datas(all[2:]), "4 5 6 7")
	}
}

func TestReplace(t *testing.T) {
	h := newHub(t)
	old := open(t, h, "a/1")
	older := attach(t, h, "a/1", Client{Name: "tab"}).Subscriber
	readNow(t, older)
	// A client that comes twice: the older connection is told to go.
	newer := attach(t, h, "a/1", Client{Name: "tab"}).Subscriber
	readNow(t, newer)
	told := notices(t, h)
	equal(t, len(told), 1)
	equal(t, told[0].Kind, NoticeClosing)
	equal(t, told[0].Source, older)
	equal(t, types(readToEnd(t, older)), "weir.closing")

	replacing := open(t, h, "a/1", func(o *OpenOptions) { o.OnDuplicate = DuplicateReplace })
	var kinds []int
	for _, notice := range notices(t, h) {
		if notice.Source == old {
			kinds = append(kinds, notice.Kind)
		}
	}
	equal(t, kinds, []int{NoticeCancelled, NoticeEnded})
	bytes := readToEnd(t, newer)
	equal(t, types(bytes), "weir.done")
	equal(t, strings.Contains(string(bytes), "replaced_by_new_stream"), true)
	_, err := old.Publish([]byte("late"), "", 0)
	equal(t, err, EENDED)
	equal(t, publish(t, replacing, "first", ""), uint64(1))
	_, err = h.Open("a/1", func(o *OpenOptions) { o.OnDuplicate = DuplicateReject })
	equal(t, err, EEXISTS)
}

func TestEnd(t *testing.T) {
	h := newHub(t)
	stream := open(t, h, "a/1")
	publish(t, stream, "last", "")
	seq, err := stream.End("done")
	must(t, err)
	equal(t, seq, uint64(2))
	bytes := readToEnd(t, attach(t, h, "a/1", Client{}).Subscriber)
	equal(t, types(bytes), "weir.ready message weir.done")
	response := attach(t, h, "a/1", Client{LastEventID: frames(bytes)[2].id})
	equal(t, response.Status, 204)
	equal(t, response.Verdict, "finished")
	equal(t, response.Subscriber == nil, true)
	equal(t, strings.HasPrefix(string(response.Head), "HTTP/1.1 204 "), true)

	stream = open(t, h, "a/2")
	_, err = stream.Fail("overloaded", "Try again later.")
	must(t, err)
	bytes = readToEnd(t, attach(t, h, "a/2", Client{}).Subscriber)
	equal(t, types(bytes), "weir.ready weir.failed")
}

func TestShownOut(t *testing.T) {
	h := newHub(t)
	stream := open(t, h, "a/1")
	subscriber := attach(t, h, "a/1", Client{}).Subscriber
	readNow(t, subscriber)
	must(t, subscriber.Dismiss("moved", 5*time.Second))
	bytes := readToEnd(t, subscriber)
	equal(t, types(bytes), "weir.closing")
	equal(t, strings.Contains(string(bytes), `"reason":"moved"`), true)
	equal(t, strings.Contains(string(bytes), "retry: 5"), true)

	subscriber = attach(t, h, "a/1", Client{}).Subscriber
	must(t, stream.Cancel("stopped"))
	bytes = readToEnd(t, subscriber)
	equal(t, strings.Contains(string(bytes), `"reason":"stopped"`), true)
}

func TestRefusals(t *testing.T) {
	h := newHub(t)
	equal(t, attach(t, h, "a/1", Client{}).Status, 404)
	stream := open(t, h, "a/1")
	_, err := stream.Publish([]byte("x"), "open", 0)
	equal(t, err, ERESERVED)
	equal(t, err.Error() != "", true)
	_, err = stream.Publish([]byte{0xff}, "", 0)
	equal(t, err, EUTF8)
	_, err = h.Open("")
	equal(t, err, EINVAL)

	subscriber := attach(t, h, "a/1", Client{}).Subscriber
	long := 1<<32*time.Millisecond + 2*time.Second
	equal(t, subscriber.Dismiss("x", long), error(EINVAL))
	equal(t, h.Drain(long, long), error(EINVAL))

	equal(t, uint32(milliseconds(-time.Second)), uint32(0))

	must(t, h.Drain(0, 7*time.Second))
	response := attach(t, h, "a/1", Client{})
	equal(t, response.Status, 200)
	equal(t, response.Subscriber == nil, true)
	equal(t, types(response.Body), "weir.closing")
	equal(t, strings.Contains(string(response.Body), "retry: 7"), true)
}

func TestTime(t *testing.T) {
	h := newHub(t)
	equal(t, h.Timeout() < 0, true)
	stream := open(t, h, "a/1", func(o *OpenOptions) {
		o.FirstEvent = 1
		o.OnFirstEvent = ActionFail
	})
	var told []Notice
	for len(told) == 0 {
		time.Sleep(h.Timeout())
		told = notices(t, h)
	}
	equal(t, told[0], Notice{NoticeExpired, stream, nil, 0, TimerFirstEvent})
	equal(t, told[1], Notice{NoticeEnded, stream, nil, 1, 0})
}

func TestHandlesOutliveTheHub(t *testing.T) {
	h := newHub(t)
	stream := open(t, h, "a/1")
	subscriber := attach(t, h, "a/1", Client{}).Subscriber
	must(t, h.Close())
	_, err := stream.Publish([]byte("x"), "", 0)
	equal(t, err, EGONE)
	_, err = subscriber.Read(make([]byte, 8))
	equal(t, err, EGONE)
	_, err = h.Open("a/1")
	equal(t, err, EGONE)
	must(t, stream.Close())
	equal(t, stream.Close(), EGONE)
	_, err = stream.Publish([]byte("x"), "", 0)
	equal(t, err, EGONE)
}

func TestWhatIsClosedIsReleased(t *testing.T) {
	h := newHub(t)
	stream := open(t, h, "a/1")
	subscriber := attach(t, h, "a/1", Client{}).Subscriber
	reached, err := stream.Signal([]byte("x"), "s", 0)
	must(t, err)
	equal(t, reached, uint64(1))
	must(t, subscriber.Close())
	reached, err = stream.Signal([]byte("x"), "s", 0)
	must(t, err)
	equal(t, reached, uint64(0))
}

// The hub has a lock: a reader that waits on other goroutines' events.
func TestGoroutines(t *testing.T) {
	h, err := NewHub()
	must(t, err)
	defer h.Close()
	stream := open(t, h, "a/1")
	subscriber := attach(t, h, "a/1", Client{}).Subscriber
	const writers, events = 4, 100
	failures := make(chan error, writers)
	for i := 0; i < writers; i++ {
		go func() {
			var err error
			for n := 0; n < events && err == nil; n++ {
				_, err = stream.Publish([]byte("x"), "", 0)
			}
			failures <- err
		}()
	}
	for i := 0; i < writers; i++ {
		must(t, <-failures)
	}
	equal(t, len(frames(readNow(t, subscriber))), 1+writers*events)
}
