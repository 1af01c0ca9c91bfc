// Signs a digest with crypto11 from many goroutines: sign MODULE TOKEN KEY ec|rsa|pss OUT, digest in the environment's
// DIGEST as hex, PIN on standard input. The last signature is written to OUT.
package main

import (
	"bufio"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"log"
	"os"
	"strings"
	"sync"

	"github.com/ThalesGroup/crypto11"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func options(kind string) crypto.SignerOpts {
	if kind == "pss" {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	return crypto.SHA256
}

func main() {
	pin, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && pin == "" {
		log.Fatal(err)
	}
	digest, err := hex.DecodeString(os.Getenv("DIGEST"))
	must(err)
	context, err := crypto11.Configure(&crypto11.Config{
		Path: os.Args[1], TokenLabel: os.Args[2], Pin: strings.TrimSpace(pin),
	})
	must(err)
	signer, err := context.FindKeyPair(nil, []byte(os.Args[3]))
	must(err)
	if signer == nil {
		log.Fatal("no such key pair")
	}
	var wait sync.WaitGroup
	var lock sync.Mutex
	var last []byte
	for at := 0; at < 8; at++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for turn := 0; turn < 10; turn++ {
				signature, err := signer.Sign(rand.Reader, digest, options(os.Args[4]))
				must(err)
				lock.Lock()
				last = signature
				lock.Unlock()
			}
		}()
	}
	wait.Wait()
	must(os.WriteFile(os.Args[5], last, 0o600))
	must(context.Close())
}
