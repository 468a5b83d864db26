// What Go's sumdb/note and sumdb/tlog say, as test vectors. See README.md beside this file for the command.
//
//	vectors made          prints notes, roots and proofs made by Go
//	vectors judge FILE    prints Go's verdict on what our own code made
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = m[index]
	}
	return found, nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func verdict(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func leaf(n int) []byte { return []byte(fmt.Sprintf("leaf %d", n)) }

func tree(size int) memory {
	var stored memory
	for n := 0; n < size; n++ {
		hashes, err := tlog.StoredHashes(int64(n), leaf(n), stored)
		check(err)
		stored = append(stored, hashes...)
	}
	return stored
}

func root(size int64, stored memory) tlog.Hash {
	hash, err := tlog.TreeHash(size, stored)
	check(err)
	return hash
}

type inclusion struct {
	Index, Size int64
	Proof       []tlog.Hash
}

type consistency struct {
	Old, New int64
	Proof    []tlog.Hash
}

type signed struct{ Skey, Vkey, Text, Note string }

type opened struct{ Why, Note, Verdict string }

type made struct {
	Go            string
	Roots         map[string]tlog.Hash
	Inclusions    []inclusion
	Consistencies []consistency
	Notes         []signed
	Opened        []opened
	Trees         []opened
}

type fixed byte

func (f fixed) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(f)
	}
	return len(p), nil
}

func sign(name, text string, seed byte) signed {
	skey, vkey, err := note.GenerateKey(fixed(seed), name)
	check(err)
	signer, err := note.NewSigner(skey)
	check(err)
	message, err := note.Sign(&note.Note{Text: text}, signer)
	check(err)
	return signed{skey, vkey, text, string(message)}
}

func open(why, message, vkey string) opened {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	_, err = note.Open([]byte(message), note.VerifierList(verifier))
	return opened{why, hex.EncodeToString([]byte(message)), verdict(err)}
}

func bent(good signed) []opened {
	message := good.Note
	split := strings.LastIndex(message, "\n\n")
	text, line := message[:split+1], message[split+2:]
	stranger := sign("stranger.example", text, 9)
	strangers := stranger.Note[strings.LastIndex(stranger.Note, "\n\n")+2:]
	other := sign("desk/00", text, 8)
	cases := [][2]string{
		{"good", message},
		{"twice", message + line},
		{"a stranger besides", message + strangers},
		{"only a stranger", stranger.Note},
		{"same name, other key", other.Note},
		{"no signature", text + "\n"},
		{"no blank line", text + line},
		{"two blank lines", text + "\n\n" + line},
		{"no last line feed", message[:len(message)-1]},
		{"a line feed more", message + "\n"},
		{"carriage returns", strings.ReplaceAll(message, "\n", "\r\n")},
		{"a tab in the text", "\t" + message},
		{"a NUL in the text", "\x00" + message},
		{"not UTF-8", "\xff" + message},
		{"delete in the text", "\x7f" + message},
		{"a hyphen for the dash", strings.Replace(message, "—", "-", 1)},
		{"a space in the name", strings.Replace(message, "— desk/00", "— desk 00", 1)},
		{"a no-break space in the name", strings.Replace(message, "— desk/00", "— desk\u00a000", 1)},
		{"a next line in the name", strings.Replace(message, "— desk/00", "— desk\u008500", 1)},
		{"a plus in the name", strings.Replace(message, "— desk/00", "— desk+00", 1)},
		{"no name", strings.Replace(message, "— desk/00", "— ", 1)},
		{"changed text", strings.Replace(message, "\n7\n", "\n8\n", 1)},
		{"an extension line", strings.Replace(message, "\n\n", "\nextension\n\n", 1)},
		{"short base64", strings.Replace(message, "=\n", "\n", 1)},
		{"only a key id", text + "\n— desk/00 AAAAAA==\n"},
		{"a key id and a byte of a stranger", message + "— x AAAAAAA=\n"},
		{"101 signatures", text + "\n" + line + strings.Repeat("— x AAAAAAA=\n", 100)},
		{"100 signatures", text + "\n" + line + strings.Repeat("— x AAAAAAA=\n", 99)},
		{"empty", ""},
	}
	var found []opened
	for _, each := range cases {
		found = append(found, open(each[0], each[1], good.Vkey))
	}
	return found
}

func trees() []opened {
	const head = "go.sum database tree\n"
	hash := tlog.RecordHash([]byte("x")).String()
	cases := [][2]string{
		{"good", head + "7\n" + hash + "\n"},
		{"empty tree", head + "0\n" + hash + "\n"},
		{"largest", head + "9223372036854775807\n" + hash + "\n"},
		{"an extension", head + "7\n" + hash + "\nextension\n"},
		{"too large", head + "9223372036854775808\n" + hash + "\n"},
		{"negative", head + "-1\n" + hash + "\n"},
		{"plus", head + "+7\n" + hash + "\n"},
		{"leading zero", head + "07\n" + hash + "\n"},
		{"hexadecimal", head + "0x7\n" + hash + "\n"},
		{"separator", head + "1_000\n" + hash + "\n"},
		{"other digits", head + "٧\n" + hash + "\n"},
		{"no size", head + "\n" + hash + "\n"},
		{"short hash", head + "7\nAAAA\n"},
		{"no hash", head + "7\n"},
		{"no last line feed", head + "7\n" + hash},
		{"hash not base64", head + "7\n" + hash[:43] + "*\n"},
	}
	var found []opened
	for _, each := range cases {
		_, err := tlog.ParseTree([]byte(each[1]))
		found = append(found, opened{each[0], hex.EncodeToString([]byte(each[1])), verdict(err)})
	}
	return found
}

func make_() made {
	result := made{Go: "go1.19.8, golang.org/x/mod v0.7.0", Roots: map[string]tlog.Hash{}}
	stored := tree(1030)
	for _, size := range []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 100, 255, 256, 257, 511, 513, 1000, 1023, 1024, 1025, 1030} {
		if size > 0 { // tlog has no hash of the empty tree
			result.Roots[fmt.Sprint(size)] = root(size, stored)
		}
		for _, index := range []int64{0, 1, 2, size / 3, size / 2, size - 2, size - 1} {
			if index < 0 || index >= size {
				continue
			}
			proof, err := tlog.ProveRecord(size, index, stored)
			check(err)
			result.Inclusions = append(result.Inclusions, inclusion{index, size, proof})
			proof2, err := tlog.ProveTree(size, index+1, stored)
			check(err)
			result.Consistencies = append(result.Consistencies, consistency{index + 1, size, proof2})
		}
	}
	checkpoint := "desk/00\n7\n" + root(7, stored).String() + "\n"
	result.Notes = []signed{
		sign("desk/00", checkpoint, 1),
		sign("desk/00", string(tlog.FormatTree(tlog.Tree{N: 1030, Hash: root(1030, stored)})), 2),
		sign("example.com/log", "Ognuno sta solo sul cuor della terra\n\ned è subito sera.\n", 3),
	}
	result.Opened = bent(result.Notes[0])
	result.Trees = trees()
	return result
}

type ours struct {
	Leaves     []string
	Vkey       string
	Notes      []string
	Inclusions []struct {
		Index, Size int64
		Proof       []tlog.Hash
	}
	Consistencies []struct {
		Old, New int64
		Proof    []tlog.Hash
	}
	Roots map[string]tlog.Hash
}

type judged struct {
	Sha256   string
	Counts   map[string]int
	Rejected []string
}

func judge(path string) judged {
	data, err := os.ReadFile(path)
	check(err)
	var given ours
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	check(decoder.Decode(&given))
	result := judged{Sha256: fmt.Sprintf("%x", sha256.Sum256(data)), Counts: map[string]int{}, Rejected: []string{}}
	reject := func(what string, err error) {
		result.Counts[strings.Fields(what)[0]]++
		if err != nil {
			result.Rejected = append(result.Rejected, what+": "+err.Error())
		}
	}
	verifier, err := note.NewVerifier(given.Vkey)
	check(err)
	var stored memory
	hashes := make([]tlog.Hash, len(given.Leaves))
	for n, line := range given.Leaves {
		hashes[n] = tlog.RecordHash([]byte(line))
		more, err := tlog.StoredHashesForRecordHash(int64(n), hashes[n], stored)
		check(err)
		stored = append(stored, more...)
	}
	same := func(size int64) (tlog.Hash, error) {
		claimed := given.Roots[fmt.Sprint(size)]
		if claimed != root(size, stored) {
			return claimed, fmt.Errorf("another root")
		}
		return claimed, nil
	}
	for i, message := range given.Notes {
		opened, err := note.Open([]byte(message), note.VerifierList(verifier))
		if err == nil {
			lines := strings.SplitN(opened.Text, "\n", 2) // ParseTree knows one origin; the lines below it are the same
			var tree tlog.Tree
			tree, err = tlog.ParseTree([]byte("go.sum database tree\n" + lines[1]))
			if err == nil && tree.Hash != root(tree.N, stored) {
				err = fmt.Errorf("another root")
			}
		}
		reject(fmt.Sprintf("note %d", i), err)
	}
	for _, each := range given.Inclusions {
		claimed, err := same(each.Size)
		if err == nil {
			err = tlog.CheckRecord(each.Proof, each.Size, claimed, each.Index, hashes[each.Index])
		}
		reject(fmt.Sprintf("inclusion %d/%d", each.Index, each.Size), err)
	}
	for _, each := range given.Consistencies {
		claimed, err := same(each.New)
		if err == nil {
			err = tlog.CheckTree(each.Proof, each.New, claimed, each.Old, given.Roots[fmt.Sprint(each.Old)])
		}
		reject(fmt.Sprintf("consistency %d/%d", each.Old, each.New), err)
	}
	return result
}

func main() {
	var result interface{}
	if len(os.Args) == 3 && os.Args[1] == "judge" {
		result = judge(os.Args[2])
	} else {
		result = make_()
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	check(encoder.Encode(result))
}
