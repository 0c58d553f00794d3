// weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT

// Package weir is resumable Server-Sent Events, by libweir.
//
//	hub, err := weir.NewHub()
//	answer, err := hub.Open("answers/7")
//	answer.Publish([]byte("Hello"), "token", 0)
//
//	response, err := hub.Attach("answers/7", weir.Client{LastEventID: header})
//	// send response.Head, then, where there is a response.Subscriber, what it
//	// reads: io.EOF is the end, EAGAIN is "nothing now" until a notice says
//	// NoticeReadable
//
// Nothing here touches a socket or starts a goroutine. After hub.Timeout(), and
// after every call, hub.Notices() says what has to be done. Options have the
// names that they have in <weir/hub.h>, spelled as Go does.
//
// Everything may be called from any goroutine: a hub has a lock. Handles are
// released by Close: the collector does not do that.
package weir

/*
#cgo LDFLAGS: -lweir
#include <stdlib.h>
#include <weir/weir.h>
*/
import "C"

import (
	"io"
	"math"
	"sync"
	"time"
	"unsafe"
)

// Error is why a call has failed.
type Error int

func (e Error) Error() string {
	return C.GoString(C.weir_strerror(C.int(e)))
}

// What calls fail with.
const (
	ENOMEM       Error = C.WEIR_ENOMEM
	EINVAL       Error = C.WEIR_EINVAL
	ENOSPACE     Error = C.WEIR_ENOSPACE
	EOVERFLOW    Error = C.WEIR_EOVERFLOW
	EAGAIN       Error = C.WEIR_EAGAIN
	EDONE        Error = C.WEIR_EDONE
	EBUSY        Error = C.WEIR_EBUSY
	EGONE        Error = C.WEIR_EGONE
	ENOENT       Error = C.WEIR_ENOENT
	EEXISTS      Error = C.WEIR_EEXISTS
	EENDED       Error = C.WEIR_EENDED
	EFENCED      Error = C.WEIR_EFENCED
	EMALFORMED   Error = C.WEIR_EMALFORMED
	EABSENT      Error = C.WEIR_EABSENT
	EDRAINING    Error = C.WEIR_EDRAINING
	ELOG         Error = C.WEIR_ELOG
	EUNKNOWN     Error = C.WEIR_EUNKNOWN
	ESTALE       Error = C.WEIR_ESTALE
	EENTROPY     Error = C.WEIR_EENTROPY
	ESTREAMS     Error = C.WEIR_ESTREAMS
	ESUBSCRIBERS Error = C.WEIR_ESUBSCRIBERS
	ECROWD       Error = C.WEIR_ECROWD
	ECLIENT      Error = C.WEIR_ECLIENT
	ETOOBIG      Error = C.WEIR_ETOOBIG
	ERESIDENT    Error = C.WEIR_ERESIDENT
	EPENDING     Error = C.WEIR_EPENDING
	EUTF8        Error = C.WEIR_EUTF8
	EJSON        Error = C.WEIR_EJSON
	ERESERVED    Error = C.WEIR_ERESERVED
	ESTALLED     Error = C.WEIR_ESTALLED
	EIO          Error = C.WEIR_EIO
	EFULL        Error = C.WEIR_EFULL
	ELOCKED      Error = C.WEIR_ELOCKED
	EFORMAT      Error = C.WEIR_EFORMAT
	EACCESS      Error = C.WEIR_EACCESS
)

// Notice.Kind, of a Subscriber, of a Stream; Notice.Timer
const (
	NoticeReadable  = C.WEIR_NOTICE_READABLE
	NoticeClosing   = C.WEIR_NOTICE_CLOSING
	NoticeAbort     = C.WEIR_NOTICE_ABORT
	NoticeExpired   = C.WEIR_NOTICE_EXPIRED
	NoticeAbandoned = C.WEIR_NOTICE_ABANDONED
	NoticeCancelled = C.WEIR_NOTICE_CANCELLED
	NoticeEnded     = C.WEIR_NOTICE_ENDED

	TimerFirstEvent = C.WEIR_TIMER_FIRST_EVENT
	TimerIdle       = C.WEIR_TIMER_IDLE
	TimerLifetime   = C.WEIR_TIMER_LIFETIME
)

// Options: OnDuplicate of open, of attach; Start; OnIdle and its kin; Flags
const (
	DuplicateJoin    = C.WEIR_DUPLICATE_JOIN
	DuplicateReplace = C.WEIR_DUPLICATE_REPLACE
	DuplicateReject  = C.WEIR_DUPLICATE_REJECT
	ClientReplace    = C.WEIR_CLIENT_REPLACE
	ClientAllow      = C.WEIR_CLIENT_ALLOW
	ClientReject     = C.WEIR_CLIENT_REJECT
	FromStart        = C.WEIR_FROM_START
	FromHead         = C.WEIR_FROM_HEAD
	ActionNotice     = C.WEIR_ACTION_NOTICE
	ActionEnd        = C.WEIR_ACTION_END
	ActionFail       = C.WEIR_ACTION_FAIL
	OpenExisting     = C.WEIR_OPEN_EXISTING
	OpenUnended      = C.WEIR_OPEN_UNENDED
	OpenEnvelope     = C.WEIR_OPEN_ENVELOPE
	OpenLook         = C.WEIR_OPEN_LOOK
	AttachPing       = C.WEIR_ATTACH_PING
	AttachStrict     = C.WEIR_ATTACH_STRICT
	EventJSON        = C.WEIR_EVENT_JSON
)

// The C compiler reads the headers for cgo, so that only those structs are
// repeated here whose fields Go programs see. weir_test.go compares them.

// HubOptions is weir_hub_options.
type HubOptions struct {
	size                 uintptr
	allocator            unsafe.Pointer
	clock                unsafe.Pointer
	clockUser            unsafe.Pointer
	entropy              unsafe.Pointer
	entropyUser          unsafe.Pointer
	log                  unsafe.Pointer
	notify               unsafe.Pointer
	notifyUser           unsafe.Pointer
	wake                 unsafe.Pointer
	wakeUser             unsafe.Pointer
	trace                unsafe.Pointer
	traceUser            unsafe.Pointer
	prefix               unsafe.Pointer
	prefixLen            uintptr
	CursorFormat         int32
	Flags                uint32
	MaxStreams           uint64
	MaxSubscribers       uint64
	MaxStreamSubscribers uint64
	MaxClientSubscribers uint64
	MaxEventBytes        uint64
	MaxEventLines        uint64
	MaxPending           uint64
	MaxResident          uint64
	HistoryBytes         uint64
	HistoryEvents        uint64
	HistoryAge           uint64
	SignalRing           uint32
	Recheck              uint32
	reserved             [8]uint64
}

// OpenOptions is weir_open_options.
type OpenOptions struct {
	size         uintptr
	key          unsafe.Pointer
	keyLen       uintptr
	user         unsafe.Pointer
	OnDuplicate  int32
	Flags        uint32
	prefix       unsafe.Pointer
	prefixLen    uintptr
	members      unsafe.Pointer
	membersLen   uintptr
	FirstEvent   uint64
	Idle         uint64
	Lifetime     uint64
	Abandoned    uint64
	Linger       uint64
	OnFirstEvent int32
	OnIdle       int32
	OnLifetime   int32
	OnAbandoned  int32
	Label        uint64
	reserved     [7]uint64
}

// AttachOptions is weir_attach_options.
type AttachOptions struct {
	size            uintptr
	key             unsafe.Pointer
	keyLen          uintptr
	user            unsafe.Pointer
	request         *C.weir_request
	Start           int32
	Flags           uint32
	client          unsafe.Pointer
	clientLen       uintptr
	OnDuplicate     int32
	reserved0       uint32
	Heartbeat       uint32
	HeartbeatJitter uint32
	Stall           uint32
	Retry           uint32
	RetryJitter     uint32
	RetryReplaced   uint32
	Lifetime        uint64
	LifetimeJitter  uint64
	reserved        [8]uint64
}

// Version is that of the library that runs.
func Version() string {
	return C.GoString(C.weir_version())
}

func check(result C.int) error {
	if result < 0 {
		return Error(result)
	}
	return nil
}

// texts are copies in C's memory: C may not see a Go pointer behind another.
type texts []unsafe.Pointer

func (t *texts) put(text []byte) (unsafe.Pointer, C.size_t) {
	*t = append(*t, C.CBytes(text))
	return (*t)[len(*t)-1], C.size_t(len(text))
}

func (t *texts) event(data []byte, kind string, flags uint32) *C.weir_event {
	var event C.weir_event
	C.weir_event_init(&event, C.sizeof_weir_event)
	event._type, event.type_len = t.put([]byte(kind))
	event.data, event.data_len = t.put(data)
	event.flags = C.uint32_t(flags)
	return &event
}

// A handle of the library's, and the lock of its hub.
type handle struct {
	lock *sync.Mutex
	at   unsafe.Pointer
}

// call does something with the handle, unless it has been closed. The texts
// stay until it is done.
func (h *handle) call(f func(t *texts) C.int) error {
	h.lock.Lock()
	defer h.lock.Unlock()
	if h.at == nil {
		return EGONE
	}
	var t texts
	defer func() {
		for _, text := range t {
			C.free(text)
		}
	}()
	return check(f(&t))
}

// Stream is the producer's end of a stream.
type Stream struct {
	handle
	hub *Hub
}

func (s *Stream) c() *C.weir_stream {
	return (*C.weir_stream)(s.at)
}

// Publish an event; its number.
func (s *Stream) Publish(data []byte, kind string, flags uint32) (uint64, error) {
	var seq C.uint64_t
	err := s.call(func(t *texts) C.int {
		return C.weir_stream_publish(s.c(), t.event(data, kind, flags), 1, &seq)
	})
	return uint64(seq), err
}

// Signal tells those who are connected now; how many they are.
func (s *Stream) Signal(data []byte, kind string, flags uint32) (uint64, error) {
	var reached C.uint64_t
	err := s.call(func(t *texts) C.int {
		return C.weir_stream_signal(s.c(), t.event(data, kind, flags), &reached)
	})
	return uint64(reached), err
}

// End the stream; the number of its end, as of every event.
func (s *Stream) End(reason string) (uint64, error) {
	var seq C.uint64_t
	err := s.call(func(t *texts) C.int {
		text, length := t.put([]byte(reason))
		return C.weir_stream_end(s.c(), text, length, 0, &seq)
	})
	return uint64(seq), err
}

// Fail ends it by failing. Clients see both texts.
func (s *Stream) Fail(code, message string) (uint64, error) {
	var seq C.uint64_t
	err := s.call(func(t *texts) C.int {
		word, wordLen := t.put([]byte(code))
		text, textLen := t.put([]byte(message))
		return C.weir_stream_fail(s.c(), word, wordLen, text, textLen, 0, &seq)
	})
	return uint64(seq), err
}

// Cancel asks the producer to stop, and ends the stream.
func (s *Stream) Cancel(reason string) error {
	return s.call(func(t *texts) C.int {
		text, length := t.put([]byte(reason))
		return C.weir_stream_cancel(s.c(), text, length)
	})
}

// Close releases the handle. It does not end the stream.
func (s *Stream) Close() error {
	return s.call(func(*texts) C.int {
		delete(s.hub.sources, s.at)
		C.weir_stream_release(s.c())
		s.at = nil
		return 0
	})
}

// Subscriber is a client's connection. It reads as a file does that does not
// block.
type Subscriber struct {
	handle
	hub *Hub
}

func (s *Subscriber) c() *C.weir_subscriber {
	return (*C.weir_subscriber)(s.at)
}

// Read the next bytes for the client. EAGAIN: nothing now; io.EOF: nothing
// ever again.
func (s *Subscriber) Read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	var length C.size_t
	err := s.call(func(*texts) C.int {
		return C.weir_subscriber_read(s.c(), unsafe.Pointer(&into[0]),
			C.size_t(len(into)), &length)
	})
	if err == EDONE {
		err = io.EOF
	}
	return int(length), err
}

// Dismiss asks the client to go, and to come back after so long (0: as its
// attach says): a last frame, then the end.
func (s *Subscriber) Dismiss(reason string, retry time.Duration) error {
	return s.call(func(t *texts) C.int {
		text, length := t.put([]byte(reason))
		return C.weir_subscriber_close(s.c(), text, length,
			milliseconds(retry))
	})
}

// milliseconds of a time, or what is nearest to it in C.
func milliseconds(d time.Duration) C.uint32_t {
	ms := d.Milliseconds()
	if ms < 0 {
		return 0
	}
	if ms > math.MaxUint32 {
		return math.MaxUint32
	}
	return C.uint32_t(ms)
}

// Close leaves the stream, and releases the handle.
func (s *Subscriber) Close() error {
	return s.call(func(*texts) C.int {
		delete(s.hub.sources, s.at)
		C.weir_subscriber_release(s.c())
		s.at = nil
		return 0
	})
}

// Client is what a client's request says.
type Client struct {
	LastEventID string // the value of the header, or nothing
	Query       string // what follows ? in the target
	Name        string // names the client among those of the stream
}

// Field is one of a response's head.
type Field struct {
	Name, Value string
}

// Response is the answer to a client.
type Response struct {
	Status     int
	Verdict    string // what became of its cursor, in a word
	Fields     []Field
	Head       []byte // status and fields as HTTP/1.1
	Body       []byte
	Subscriber *Subscriber // its bytes follow, unless this is nil
}

// whole is what a call writes that tells the length it needs.
func whole(write func(dst unsafe.Pointer, room C.size_t, length *C.size_t) C.int) []byte {
	var length C.size_t
	if Error(write(nil, 0, &length)) != ENOSPACE {
		return nil
	}
	room := make([]byte, length)
	write(unsafe.Pointer(&room[0]), length, &length)
	return room
}

// answer makes all of a response, which points to what goes after the call.
func answer(response *C.weir_response, t *texts) *Response {
	a := &Response{
		Status:  int(response.status),
		Verdict: C.GoString(C.weir_verdict_name(C.int(response.verdict))),
		Head: whole(func(dst unsafe.Pointer, room C.size_t, length *C.size_t) C.int {
			return C.weir_http_write_head(response, dst, room, length)
		}),
		Body: whole(func(dst unsafe.Pointer, room C.size_t, length *C.size_t) C.int {
			return C.weir_http_write_body(response, dst, room, length)
		}),
	}
	space, length := t.put(make([]byte, C.WEIR_STREAM_ID_MAX+1)) // and a NUL
	var field C.weir_field
	for C.weir_http_get_field(response, C.size_t(len(a.Fields)), space, length, &field) == 0 {
		a.Fields = append(a.Fields, Field{
			C.GoStringN((*C.char)(field.name), C.int(field.name_len)),
			C.GoStringN((*C.char)(field.value), C.int(field.value_len)),
		})
	}
	return a
}

// Notice is what the hub has to say of a Stream or a Subscriber.
type Notice struct {
	Kind   int         // NoticeReadable and so on
	Source interface{} // the *Stream or *Subscriber that it is about
	Err    error       // these as <weir/hub.h> says
	Seq    uint64
	Timer  int
}

// Hub is the registry of streams.
type Hub struct {
	handle
	sources map[unsafe.Pointer]interface{}
}

func (h *Hub) c() *C.weir_hub {
	return (*C.weir_hub)(h.at)
}

// NewHub makes a hub.
func NewHub(set ...func(*HubOptions)) (*Hub, error) {
	var options HubOptions
	given := (*C.weir_hub_options)(unsafe.Pointer(&options))
	C.weir_hub_options_init(given, C.sizeof_weir_hub_options)
	for _, f := range set {
		f(&options)
	}
	var hub *C.weir_hub
	if err := check(C.weir_hub_new(given, &hub)); err != nil {
		return nil, err
	}
	return &Hub{handle{new(sync.Mutex), unsafe.Pointer(hub)},
		make(map[unsafe.Pointer]interface{})}, nil
}

// Open a stream for writing: begin it, or join it.
func (h *Hub) Open(key string, set ...func(*OpenOptions)) (*Stream, error) {
	var options OpenOptions
	given := (*C.weir_open_options)(unsafe.Pointer(&options))
	C.weir_open_options_init(given, C.sizeof_weir_open_options)
	for _, f := range set {
		f(&options)
	}
	var s *Stream
	err := h.call(func(t *texts) C.int {
		given.key, given.key_len = t.put([]byte(key))
		var stream *C.weir_stream
		result := C.weir_hub_open(h.c(), given, &stream)
		if stream != nil {
			s = &Stream{handle{h.lock, unsafe.Pointer(stream)}, h}
			h.sources[s.at] = s
		}
		return result
	})
	return s, err
}

// Attach a client, and say what to answer it.
func (h *Hub) Attach(key string, client Client, set ...func(*AttachOptions)) (*Response, error) {
	var options AttachOptions
	given := (*C.weir_attach_options)(unsafe.Pointer(&options))
	C.weir_attach_options_init(given, C.sizeof_weir_attach_options)
	for _, f := range set {
		f(&options)
	}
	var a *Response
	err := h.call(func(t *texts) C.int {
		place, _ := t.put(make([]byte, C.sizeof_weir_request))
		given.request = (*C.weir_request)(place)
		C.weir_request_init(given.request, C.sizeof_weir_request)
		given.request.header, given.request.header_len = t.put([]byte(client.LastEventID))
		given.request.query, given.request.query_len = t.put([]byte(client.Query))
		given.key, given.key_len = t.put([]byte(key))
		given.client, given.client_len = t.put([]byte(client.Name))
		var subscriber *C.weir_subscriber
		var response C.weir_response
		response.size = C.sizeof_weir_response
		result := C.weir_http_attach(h.c(), given, nil, &subscriber, &response)
		if result < 0 {
			return result
		}
		a = answer(&response, t)
		if subscriber != nil {
			a.Subscriber = &Subscriber{handle{h.lock, unsafe.Pointer(subscriber)}, h}
			h.sources[a.Subscriber.at] = a.Subscriber
		}
		return 0
	})
	return a, err
}

// Notices that wait, in order.
func (h *Hub) Notices() ([]Notice, error) {
	var all []Notice
	err := h.call(func(*texts) C.int {
		for {
			var notice C.weir_notice
			notice.size = C.sizeof_weir_notice
			if result := C.weir_hub_next(h.c(), &notice); result < 0 {
				return result
			}
			source := unsafe.Pointer(notice.stream)
			if source == nil {
				source = unsafe.Pointer(notice.subscriber)
			}
			all = append(all, Notice{int(notice.kind), h.sources[source],
				check(C.int(notice.error)), uint64(notice.seq), int(notice.timer)})
		}
	})
	if err == EAGAIN {
		err = nil
	}
	return all, err
}

// Timeout is how long until Notices is to be asked again; negative is for
// ever.
func (h *Hub) Timeout() time.Duration {
	wait := C.int(-1)
	h.call(func(*texts) C.int {
		wait = C.weir_hub_get_timeout(h.c())
		return 0
	})
	return time.Duration(wait) * time.Millisecond
}

// Drain takes nobody in, and tells all to go in the time given, and to come
// back after so long.
func (h *Hub) Drain(over, retry time.Duration) error {
	return h.call(func(*texts) C.int {
		return C.weir_hub_drain(h.c(), C.uint64_t(milliseconds(over)),
			milliseconds(retry))
	})
}

// Close forgets all streams. Their handles answer EGONE.
func (h *Hub) Close() error {
	return h.call(func(*texts) C.int {
		C.weir_hub_free(h.c())
		h.at = nil
		return 0
	})
}
