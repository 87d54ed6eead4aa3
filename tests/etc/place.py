"""Lays out what a pod of a golden finds below /etc/trino and /etc/warren*, as the kubelet would: the ConfigMaps of the golden, and stand-ins for
what the user's own Secrets and ConfigMaps hold. Prints the container's environment as lines NAME=value.

    place.py GOLDEN COMPONENT FOLDER STAND_INS [FROM=>TO…]

STAND_INS is a JSON file: {object: {key: text}}. Each FROM is replaced by TO in every file: addresses, and /etc/trino itself."""

import base64
import json
import os
import sys

import yaml


def main():
    golden, component, folder, stand_ins, *replacements = sys.argv[1:]
    with open(golden, encoding="utf-8") as file:
        objects = [each for each in yaml.safe_load_all(file) if each]
    with open(stand_ins, encoding="utf-8") as file:
        contents = json.load(file)
    for each in objects:
        if each["kind"] in ("ConfigMap", "Secret"):
            contents.setdefault(each["metadata"]["name"], texts(each))
    deployment = next(
        each
        for each in objects
        if each["kind"] == "Deployment" and each["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for mount in container["volumeMounts"]:
        volume = next(each for each in pod["volumes"] if each["name"] == mount["name"])
        if mount["mountPath"] in ("/etc/trino", "/etc/warren", "/etc/warren-tls", "/etc/warren-events"):
            place(volume, os.path.join(folder, mount["mountPath"].strip("/")), contents, replacements)
    for variable in container["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        print(f"{variable['name']}={contents[reference['name']][reference['key']]}")


def texts(item):
    data = item.get("data") or {}
    if item["kind"] == "Secret":
        data = {key: base64.b64decode(value).decode() for key, value in data.items()}
    return data | item.get("stringData", {})


def place(volume, folder, contents, replacements):
    """All files of a volume. What is not in `contents` is an error: nothing is left out quietly."""
    if "projected" in volume:
        sources = [source.get("configMap") or source["secret"] for source in volume["projected"]["sources"]]
    else:
        sources = [volume.get("configMap") or volume["secret"]]
    for source in sources:
        content = contents[source.get("name") or source["secretName"]]
        items = source.get("items") or [{"key": key, "path": key} for key in content]
        for item in items:
            path = os.path.join(folder, item["path"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.exists(path):
                sys.exit(f"{path} comes from two sources")
            text = content[item["key"]]
            for replacement in replacements:
                old, new = replacement.split("=>", 1)
                text = text.replace(old, new)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)


main()
