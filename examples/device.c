/* A device in C: signs one temperature reading and publishes it until it is final (MQTT 5, QoS 1).
 *
 *   apt-get install gcc make libmosquitto-dev libsodium-dev
 *   make device
 *   ./device [VALUE] [HOST] [PORT] [KEY FILE]        # 21.5 127.0.0.1 1883 device.key
 *
 * The first run makes a key (the 32-byte Ed25519 seed in KEY FILE, and as PKCS#8 in KEY FILE.pem) and prints the device
 * id: register it (`triad device register --help`), then run again.
 */
#include <errno.h>
#include <fcntl.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- As much deterministic CBOR as a statement needs: heads, bytes, text, a double. --- */

typedef struct {
    uint8_t at[512];
    size_t length;
} Bytes;

static void put(Bytes *out, const void *from, size_t length)
{
    if (out->length + length > sizeof out->at) {
        fputs("the statement is too long for this example\n", stderr);
        exit(1);
    }
    memcpy(out->at + out->length, from, length);
    out->length += length;
}

/* A head in its shortest form: major type in the high three bits, then the number. */
static void head(Bytes *out, uint8_t major, uint64_t n)
{
    uint8_t h[9];
    int size = n < 24 ? 0 : n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffffff ? 4 : 8;
    h[0] = (uint8_t)(major << 5 | (size == 0 ? n : size == 1 ? 24 : size == 2 ? 25 : size == 4 ? 26 : 27));
    for (int i = 0; i < size; i++)
        h[1 + i] = (uint8_t)(n >> (8 * (size - 1 - i)));
    put(out, h, 1 + (size_t)size);
}

static void integer(Bytes *out, int64_t n)
{
    if (n >= 0)
        head(out, 0, (uint64_t)n);
    else
        head(out, 1, (uint64_t)(-1 - n));
}

static void bytes(Bytes *out, const void *from, size_t length)
{
    head(out, 2, length);
    put(out, from, length);
}

static void text(Bytes *out, const char *from)
{
    head(out, 3, strlen(from));
    put(out, from, strlen(from));
}

/* The payload need not be deterministic CBOR, so a plain double will do. */
static void number(Bytes *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    uint8_t h[9] = { 0xfb };
    for (int i = 0; i < 8; i++)
        h[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
    put(out, h, 9);
}

/* --- Keccak-256 as Ethereum has it (libsodium has none), for one message under 136 bytes. --- */

static uint64_t rotate(uint64_t x, int n)
{
    return n ? x << n | x >> (64 - n) : x;
}

static void keccak_256(uint8_t hash[32], const uint8_t *from, size_t length)
{
    static const int turns[25] = { 0,  1,  62, 28, 27, 36, 44, 6,  55, 20, 3,  10, 43,
                                   25, 39, 41, 45, 15, 21, 8,  18, 2,  61, 56, 14 };
    uint64_t a[25] = { 0 }, b[25], c[5];
    uint8_t lfsr = 1;
    for (size_t i = 0; i < length; i++)
        a[i / 8] ^= (uint64_t)from[i] << (8 * (i % 8));
    a[length / 8] ^= (uint64_t)1 << (8 * (length % 8));
    a[16] ^= (uint64_t)1 << 63;
    for (int round = 0; round < 24; round++) {
        for (int x = 0; x < 5; x++)
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (int i = 0; i < 25; i++)
            a[i] ^= c[(i + 4) % 5] ^ rotate(c[(i + 1) % 5], 1);
        for (int x = 0; x < 5; x++)
            for (int y = 0; y < 5; y++)
                b[y + 5 * ((2 * x + 3 * y) % 5)] = rotate(a[x + 5 * y], turns[x + 5 * y]);
        for (int i = 0; i < 25; i++)
            a[i] = b[i] ^ (~b[i / 5 * 5 + (i + 1) % 5] & b[i / 5 * 5 + (i + 2) % 5]);
        for (int j = 0; j < 7; j++) { /* the round constant, bit by bit */
            if (lfsr & 1)
                a[0] ^= (uint64_t)1 << ((1 << j) - 1);
            lfsr = (uint8_t)(lfsr << 1 ^ (lfsr & 0x80 ? 0x71 : 0));
        }
    }
    for (int i = 0; i < 32; i++)
        hash[i] = (uint8_t)(a[i / 8] >> (8 * (i % 8)));
}

/* --- Key and sequence number, kept in files. --- */

static int read_file(const char *name, void *to, size_t length)
{
    FILE *file = fopen(name, "rb");
    if (!file)
        return 0;
    size_t got = fread(to, 1, length, file);
    fclose(file);
    return got == length;
}

static void write_file(const char *name, const void *from, size_t length)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, from, length) != (ssize_t)length || fsync(fd) != 0 || close(fd) != 0) {
        fprintf(stderr, "cannot write %s: %s\n", name, strerror(errno));
        exit(1);
    }
}

static const char *with(const char *name, const char *suffix)
{
    static char joined[4][600];
    static int turn;
    char *to = joined[turn++ % 4];
    snprintf(to, sizeof joined[0], "%s%s", name, suffix);
    return to;
}

static void make_key(const char *file, uint8_t seed[32])
{
    static const uint8_t pkcs8[16] = { 0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20 };
    uint8_t der[48];
    char base64[100], pem[200];
    randombytes_buf(seed, 32);
    memcpy(der, pkcs8, 16);
    memcpy(der + 16, seed, 32);
    sodium_bin2base64(base64, sizeof base64, der, sizeof der, sodium_base64_VARIANT_ORIGINAL);
    int length = snprintf(pem, sizeof pem, "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n", base64);
    write_file(file, seed, 32);
    write_file(with(file, ".pem"), pem, (size_t)length);
}

/* --- The acknowledgement. --- */

static int answered, accepted;

static void on_publish(struct mosquitto *client, void *unused, int id, int reason, const mosquitto_property *properties)
{
    (void)client, (void)unused, (void)id;
    answered = 1;
    accepted = reason == 0;
    printf(accepted ? "final:" : "refused, 0x%02x:", reason);
    char *key = NULL, *value = NULL, *why = NULL;
    const mosquitto_property *at =
        mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY, &key, &value, false);
    while (at) {
        printf(" %s %s", key, value);
        free(key), free(value);
        at = mosquitto_property_read_string_pair(at, MQTT_PROP_USER_PROPERTY, &key, &value, true);
    }
    if (mosquitto_property_read_string(properties, MQTT_PROP_REASON_STRING, &why, false))
        printf(" %s", why);
    free(why);
    puts("");
}

int main(int argc, char **argv)
{
    double value = argc > 1 ? atof(argv[1]) : 21.5;
    const char *host = argc > 2 ? argv[2] : "127.0.0.1";
    int port = argc > 3 ? atoi(argv[3]) : 1883;
    const char *file = argc > 4 ? argv[4] : "device.key";
    if (sodium_init() < 0)
        return 1;

    uint8_t seed[32], public_key[32], secret_key[64], hash[32], device[20];
    char hex[41];
    if (!read_file(file, seed, sizeof seed))
        make_key(file, seed);
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    Bytes cose_key = { .length = 0 };
    head(&cose_key, 5, 3);
    integer(&cose_key, 1), integer(&cose_key, 1);
    integer(&cose_key, -1), integer(&cose_key, 6);
    integer(&cose_key, -2), bytes(&cose_key, public_key, sizeof public_key);
    keccak_256(hash, cose_key.at, cose_key.length);
    memcpy(device, hash + 12, sizeof device);
    printf("device 0x%s\n", sodium_bin2hex(hex, sizeof hex, device, sizeof device));

    /* Every number is used once; written down before it is used, so that not even a crash repeats one. */
    uint64_t sequence = 0;
    if (read_file(with(file, ".sequence"), &sequence, sizeof sequence))
        sequence++;
    write_file(with(file, ".sequence"), &sequence, sizeof sequence);

    /* {1: EdDSA, 3: SenML in CBOR, 4: device id, 15: {-65537: sequence}} */
    Bytes protected = { .length = 0 };
    head(&protected, 5, 4);
    integer(&protected, 1), integer(&protected, -8);
    integer(&protected, 3), integer(&protected, 112);
    integer(&protected, 4), bytes(&protected, device, sizeof device);
    integer(&protected, 15), head(&protected, 5, 1);
    integer(&protected, -65537), head(&protected, 0, sequence);

    /* [{n: "temperature", u: "Cel", v: value, t: now}] */
    Bytes payload = { .length = 0 };
    head(&payload, 4, 1), head(&payload, 5, 4);
    integer(&payload, 0), text(&payload, "temperature");
    integer(&payload, 1), text(&payload, "Cel");
    integer(&payload, 2), number(&payload, value);
    integer(&payload, 6), integer(&payload, (int64_t)time(NULL));

    Bytes to_sign = { .length = 0 };
    head(&to_sign, 4, 4);
    text(&to_sign, "Signature1");
    bytes(&to_sign, protected.at, protected.length);
    bytes(&to_sign, "", 0);
    bytes(&to_sign, payload.at, payload.length);
    uint8_t signature[64];
    crypto_sign_detached(signature, NULL, to_sign.at, to_sign.length, secret_key);

    Bytes statement = { .length = 0 };
    head(&statement, 6, 18), head(&statement, 4, 4);
    bytes(&statement, protected.at, protected.length);
    head(&statement, 5, 0);
    bytes(&statement, payload.at, payload.length);
    bytes(&statement, signature, sizeof signature);

    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(NULL, true, NULL);
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_publish_v5_callback_set(client, on_publish);
    int error = mosquitto_connect(client, host, port, 60);
    if (error == MOSQ_ERR_SUCCESS)
        error = mosquitto_publish_v5(client, NULL, "triad/v1/statements", (int)statement.length, statement.at, 1,
                                     false, NULL);
    time_t start = time(NULL);
    while (error == MOSQ_ERR_SUCCESS && !answered && time(NULL) < start + 30)
        error = mosquitto_loop(client, 1000, 1);
    if (error != MOSQ_ERR_SUCCESS)
        fprintf(stderr, "%s port %d: %s\n", host, port, mosquitto_strerror(error));
    else if (!answered)
        puts("no answer yet; the same statement may be sent again");
    mosquitto_disconnect(client);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return accepted ? 0 : 1;
}
