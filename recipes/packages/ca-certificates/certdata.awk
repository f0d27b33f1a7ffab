# Mozilla's certdata.txt -> one file of PEM certificates, in the order of the input.
#
# The file lists objects: certificates (their DER bytes in octal, \060\202...) and, apart from them, what each is trusted
# for. A certificate goes out if it may vouch for servers (CKA_TRUST_SERVER_AUTH is CKT_NSS_TRUSTED_DELEGATOR). The two
# are matched by label, issuer and serial number, as labels alone are not unique. No clock is read: what comes out depends
# on the input only, so a certificate that has expired meanwhile stays; verifying programs refuse it anyway.

BEGIN {
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
}

/^#/ { next }

/^CKA_CLASS / { finish(); class = $3 }

/^CKA_LABEL / { label = $0; sub(/^CKA_LABEL UTF8 "/, "", label); sub(/"$/, "", label) }

/^CKA_TRUST_SERVER_AUTH / { trust = $3 }

/MULTILINE_OCTAL$/ {
    field = $1
    text = ""
    while ((getline line) > 0 && line != "END") text = text line
    if (field == "CKA_ISSUER") issuer = text
    else if (field == "CKA_SERIAL_NUMBER") serial = text
    else if (field == "CKA_VALUE") value = text
}

END {
    finish()
    for (i = 1; i <= count; i++)
        if (trusted[keys[i]]) {
            printf "# %s\n-----BEGIN CERTIFICATE-----\n", labels[i]
            base64(values[i])
            print "-----END CERTIFICATE-----"
        }
}

# Keep what the object that ends here says.
function finish(    key) {
    key = label "|" issuer "|" serial
    if (class == "CKO_CERTIFICATE") {
        count++
        keys[count] = key
        labels[count] = label
        values[count] = value
    } else if (class == "CKO_NSS_TRUST" && trust == "CKT_NSS_TRUSTED_DELEGATOR") {
        trusted[key] = 1
    }
    class = label = trust = issuer = serial = value = ""
}

# Print bytes given as \ooo\ooo... in base64, 64 characters a line.
function base64(octal,    n, i, k, word, line) {
    n = length(octal) / 4
    for (i = 0; i < n; i += 3) {
        word = byte(octal, i) * 65536 + byte(octal, i + 1) * 256 + byte(octal, i + 2)
        for (k = 262144; k >= 1; k /= 64)
            line = line substr(digits, int(word / k) % 64 + 1, 1)
        if (length(line) == 64 || i + 3 >= n) {
            if (i + 3 > n) line = substr(line, 1, length(line) - (i + 3 - n)) substr("==", 1, i + 3 - n)
            print line
            line = ""
        }
    }
}

# Byte number i, counted from 0; beyond the end it is 0.
function byte(octal, i,    o) {
    o = substr(octal, i * 4 + 2, 3)
    return substr(o, 1, 1) * 64 + substr(o, 2, 1) * 8 + substr(o, 3, 1)
}
